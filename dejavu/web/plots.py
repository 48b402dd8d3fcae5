"""The route of pictures."""

from __future__ import annotations

from flask import Blueprint, Response
from flask_limiter import Limiter

from dejavu.config.deployment import Deployment
from dejavu.config.settings import PICTURES_WAITING
from dejavu.service.service import Service
from dejavu.service.turnstile import Turnstile


def plot_routes(service: Service, deployment: Deployment, limiter: Limiter) -> Blueprint:
    """Pictures are drawn when they are asked for, one at a time: drawing takes what answers are found with."""
    plots = Blueprint("plots", __name__, url_prefix="/api/fetch")
    drawing = Turnstile(1, PICTURES_WAITING, "The service is busy with other pictures; ask again in a moment.")

    @plots.get("/<token>/plot.png")
    @limiter.limit(deployment.rate_limit.fetching_results)
    def plot(token: str) -> Response:
        """Draw why an answer was given."""
        portrait = service.portraits.of_answer(token)
        with drawing.entered():
            from dejavu.pictures.draw import png

            return Response(png(portrait), mimetype="image/png")

    return plots
