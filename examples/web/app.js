/* The demo page: a chat, an echo with round trip times. The drawing connects by itself: drawing.svg. */
import { connect } from "./link.js";

const $ = (id) => document.getElementById(id);
const SHOWN_MESSAGES = 200;

function showState(id) {
  return (state) => {
    $(id).textContent = state;
    $(id).classList.toggle("open", state === "open");
  };
}

/* ---- chat ---- */

const room = new URLSearchParams(location.search).get("room") || "lobby";
$("room").textContent = room;
$("name").value = localStorage.getItem("name") || `guest${Math.floor(Math.random() * 1000)}`;

/* The handlers pass on what they are given: it may be anything. */
function parseMessage(data) {
  try {
    const { from, text } = JSON.parse(data);
    return typeof from === "string" && typeof text === "string" ? { from, text } : null;
  } catch {
    return null;
  }
}

function showMessage(data) {
  const message = parseMessage(data);
  if (!message) return;
  const { from, text } = message;
  const line = document.createElement("li");
  const name = document.createElement("b");
  if (from === "*") line.className = "note";
  else name.textContent = from;
  line.append(name, text); /* as text, never as HTML */
  $("messages").append(line);
  while ($("messages").childElementCount > SHOWN_MESSAGES) $("messages").firstElementChild.remove();
  line.scrollIntoView({ block: "nearest" });
}

const chat = connect(`/chat/${encodeURIComponent(room)}`, { onMessage: showMessage, onState: showState("chat-state") });

$("say").addEventListener("submit", (event) => {
  event.preventDefault();
  localStorage.setItem("name", $("name").value);
  if (chat.send(JSON.stringify({ from: $("name").value, text: $("text").value }))) $("text").value = "";
});

/* ---- echo ---- */

let answered = () => {};
const echo = connect("/echo", { onMessage: (data) => answered(data), onState: showState("echo-state") });

function roundTrip(message) {
  return new Promise((resolve, reject) => {
    const begun = performance.now();
    const timer = setTimeout(() => reject(new Error("no answer within 5 s")), 5000);
    answered = (data) => {
      clearTimeout(timer);
      if (data === message) resolve(performance.now() - begun);
      else reject(new Error("the answer is another message"));
    };
    if (!echo.send(message)) reject(new Error("not connected"));
  });
}

$("ping").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = $("ping").querySelector("button");
  const times = [];
  button.disabled = true;
  try {
    for (let i = 0; i < $("count").valueAsNumber; i++) times.push(await roundTrip(`message ${i}`));
    times.sort((a, b) => a - b);
    const at = (share) => times[Math.min(times.length - 1, Math.floor(times.length * share))].toFixed(2);
    $("result").textContent = `${times.length} answered, median ${at(0.5)} ms, 99 % within ${at(0.99)} ms`;
  } catch (error) {
    $("result").textContent = error.message;
  }
  button.disabled = false;
});

/* ---- drawing ---- */

addEventListener("message", (event) => {
  if (event.origin === location.origin && event.data?.drawing) showState("drawing-state")(event.data.drawing);
});

/* The picture may have been faster than this script. */
const drawingState = $("drawing").contentDocument?.documentElement?.dataset.state;
if (drawingState) showState("drawing-state")(drawingState);
