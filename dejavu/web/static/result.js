import { prepare } from "./answer.js";

prepare(document.querySelector("#shown-answer"));
