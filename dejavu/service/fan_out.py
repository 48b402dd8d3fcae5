"""One question to several instances at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from dejavu.errors import InstancesUnavailable, StoreUnavailable
from dejavu.service.instance import Instance

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Answers(Generic[Answer]):
    """Who said what, and which instances said nothing. At least one answered."""

    by_instance: dict[Instance, Answer]
    unavailable: tuple[Instance, ...]


def ask_all(instances: Iterable[Instance], question: Callable[[Instance], Answer]) -> Answers[Answer]:
    """Put `question` to all instances in parallel and wait for each, at most for the deadline of its lane.

    Raises `InstancesUnavailable` where none could be asked: silence is no answer.
    """
    pending = {}
    unavailable = []
    for instance in instances:
        try:
            pending[instance] = instance.ask(question)
        except StoreUnavailable:
            unavailable.append(instance)
    answers = {}
    for instance, work in pending.items():
        try:
            answers[instance] = instance.answer(work)
        except StoreUnavailable:
            unavailable.append(instance)
    if not answers:
        raise InstancesUnavailable("No fingerprint database can be asked at the moment; try again in a few seconds.")
    return Answers(answers, tuple(unavailable))
