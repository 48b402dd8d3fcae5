/* An answer as the service draws it at its own address, for the page that asked. */

import { Refusal } from "./api.js";


/** Put the answer kept under `token` into `place`. */
export async function show(place, token) {
  let response;
  try {
    response = await fetch(`/results/${token}`);
  } catch {
    throw new Refusal(0, "Check the connection, and try again.");
  }
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const answer = page.querySelector("#shown-answer") || page.querySelector("main > article");
  const title = answer.querySelector("h1");
  const heading = document.createElement("h2");
  heading.className = title.className;
  heading.append(...title.childNodes);
  title.replaceWith(heading);
  place.replaceChildren(answer);
  prepare(answer);
}

/** What needs a script in an answer: a picture that may be missing, and a button that copies its address. */
export function prepare(answer) {
  const picture = answer.querySelector(".picture");
  const image = picture?.querySelector("img");
  const remove = () => picture.remove();
  if (image?.complete && !image.naturalWidth) remove();
  image?.addEventListener("error", remove);
  const button = answer.querySelector("[data-copy]");
  if (!button || !navigator.clipboard) return;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(answer.querySelector(".share a").href);
    button.textContent = "Copied";
  });
}
