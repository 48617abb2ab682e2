/*
 * The browser of the seed grid: the same as bench_seed_client, in a page of Chromium. The clock of a page is coarse, 0.1 ms, so
 * that means of many samples say more than a single one.
 *
 *   node seed_browser.mjs PORT SIZE...      WSBUS_BROWSER_MODULES: the folder that has playwright-core in its node_modules
 */
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";

const beside = path.join(path.dirname(fileURLToPath(import.meta.url)), "..", "integration", "browser");
const { chromium } = createRequire(path.join(process.env.WSBUS_BROWSER_MODULES ?? beside, "package.json"))("playwright-core");
const [port, ...sizes] = process.argv.slice(2).map(Number);

/* In the page. */
async function measureAll({ url, sizes, samples, warmUp }) {
  const socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = () => reject(new Error("cannot connect"));
  });

  function exchange(message, down) {
    return new Promise((resolve, reject) => {
      socket.onclose = () => reject(new Error("closed"));
      socket.onmessage = ({ data }) => (data.byteLength === down ? resolve() : reject(new Error("not the answer")));
      socket.send(message);
    });
  }

  async function measure(way, size, up, down) {
    const message = new Uint8Array(up);
    message.set(new TextEncoder().encode(down.toString(16).padStart(8, "0")));
    const ms = [];
    for (let i = -warmUp; i < samples; i++) {
      const start = performance.now();
      await exchange(message, down);
      if (i >= 0) ms.push(performance.now() - start);
    }
    ms.sort((a, b) => a - b);
    const middle = ms.slice(samples / 4, (samples * 3) / 4);
    const mean = middle.reduce((sum, one) => sum + one, 0) / middle.length;
    return `way=${way} size=${size} ns=${Math.round(mean * 1e6)} p99_ns=${Math.round(ms[Math.floor(samples * 0.99)] * 1e6)}`;
  }

  const lines = [await measure("round", 8, 8, 0)];
  for (const size of sizes) lines.push(await measure("up", size, size, 0), await measure("down", size, 8, size));
  return lines;
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
try {
  const page = await browser.newPage();
  const lines = await page.evaluate(measureAll, { url: `ws://127.0.0.1:${port}/seed`, sizes, samples: 200, warmUp: 20 });
  console.log(lines.join("\n"));
  console.error(browser.version());
} finally {
  await browser.close();
}
