/*
 * Two browsers on the demo page: they chat, one drags a shape of the drawing and the other sees it move, the server moves
 * another one. Usage: node page.js URL [SCREENSHOT]. Prints one line a step; the exit status says whether all went well.
 */
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const [url, screenshot] = process.argv.slice(2);
const DEADLINE_MS = 20000;

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});

/* Let the page's script come only when the drawing has its connection, as it may on a busy machine. */
async function delayScript(page) {
  const connected = page.waitForEvent("websocket", (ws) => ws.url().endsWith("/drawing"))
    .then((ws) => ws.waitForEvent("framereceived"));
  await page.route("**/app.js", async (route) => {
    await connected;
    await route.continue();
  });
}

async function openPage(name, { isScriptLate = false } = {}) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 800 }, ignoreHTTPSErrors: true });
  const page = await context.newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  page.on("pageerror", (error) => {
    throw error;
  });
  if (isScriptLate) await delayScript(page);
  await page.goto(`${url}?room=test`);
  await page.fill("#name", name);
  for (const id of ["chat-state", "drawing-state", "echo-state"]) await page.waitForSelector(`#${id}.open`);
  return page;
}

async function say(page, text) {
  await page.fill("#text", text);
  await page.press("#text", "Enter");
}

const seesMessage = (page, from, text) =>
  page.waitForFunction(([name, words]) => [...document.querySelectorAll("#messages li")].some(
    (line) => line.querySelector("b").textContent === name && line.textContent.endsWith(words)), [from, text]);

const placeOf = (page, id) => page.evaluate((shape) => {
  const circle = document.getElementById("drawing").contentDocument.getElementById(shape);
  return { x: Number(circle.getAttribute("cx")), y: Number(circle.getAttribute("cy")) };
}, id);

/* Where a shape is on the screen. */
async function screenOf(page, id) {
  const frame = await page.locator("#drawing").boundingBox();
  const { x, y } = await placeOf(page, id);
  return { x: frame.x + (x / 800) * frame.width, y: frame.y + (y / 450) * frame.height };
}

try {
  const [alice, bob] = [await openPage("alice"), await openPage("bob", { isScriptLate: true })];
  console.log("both are connected");

  await say(alice, "hello <b>bob</b> ✓");
  await seesMessage(bob, "alice", "hello <b>bob</b> ✓");
  await say(bob, "hello alice");
  await seesMessage(alice, "bob", "hello alice");
  console.log("they chat, and markup stays text");

  const from = await screenOf(alice, "sun");
  await alice.mouse.move(from.x, from.y);
  await alice.mouse.down();
  await alice.mouse.move(from.x - 120, from.y - 60, { steps: 10 });
  await alice.mouse.up();
  const there = await placeOf(alice, "sun");
  assert.ok(there.x < 350 && there.y < 200, `alice dragged the sun to ${JSON.stringify(there)}`);
  await bob.waitForFunction(({ x, y }) => {
    const sun = document.getElementById("drawing").contentDocument.getElementById("sun");
    return Math.abs(sun.getAttribute("cx") - x) < 1 && Math.abs(sun.getAttribute("cy") - y) < 1;
  }, there);
  console.log("bob sees alice's drag");

  const before = await placeOf(bob, "moon");
  await bob.waitForFunction(({ x, y }) => {
    const moon = document.getElementById("drawing").contentDocument.getElementById("moon");
    return Math.hypot(moon.getAttribute("cx") - x, moon.getAttribute("cy") - y) > 5;
  }, before);
  console.log("the handler moves the moon");

  await alice.fill("#count", "50");
  await alice.click("#ping button");
  await alice.waitForFunction(() => document.getElementById("result").textContent.startsWith("50 answered"));
  console.log("50 echoes");

  if (screenshot) await alice.screenshot({ path: screenshot });
} finally {
  await browser.close();
}
