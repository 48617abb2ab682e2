/*
 * A browser's own WebSocket against an echo: texts and binaries of many sizes, all under way at once. Usage: node deflate.js URL.
 * Prints what was agreed and how many came back right.
 */
import { chromium } from "playwright-core";

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});

try {
  const page = await browser.newPage();
  await page.goto(process.argv[2].replace("ws:", "http:").replace(/[^/]*$/, "no-such-page")); /* any page of this origin */
  console.log(await page.evaluate((url) => new Promise((resolve, reject) => {
    const sizes = [0, 1, 125, 126, 1000, 4096, 65535, 65536, 300000];
    const sent = [];
    for (const size of sizes) {
      sent.push("wörds and words ".repeat(size / 16 + 1).slice(0, size));
      sent.push(new Uint8Array(size).map((_, i) => (i * i) >> 3));
    }
    const socket = new WebSocket(url);
    let right = 0;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => sent.forEach((message) => socket.send(message));
    socket.onerror = () => reject(new Error("the connection failed"));
    socket.onclose = (event) => reject(new Error(`closed with ${event.code} after ${right}`));
    socket.onmessage = ({ data }) => {
      const want = sent[right];
      const same = typeof want === "string" ? data === want
        : data.byteLength === want.length && new Uint8Array(data).every((byte, i) => byte === want[i]);
      if (!same) reject(new Error(`message ${right} is another one`));
      right += 1;
      if (right === sent.length) resolve(`${right} right, ${socket.extensions}`);
    };
  }), process.argv[2]));
} finally {
  await browser.close();
}
