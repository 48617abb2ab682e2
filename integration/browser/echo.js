/*
 * A browser's own WebSocket against an echo, one message after the other: texts and binaries from nothing to 16 MiB. Usage:
 * node echo.js URL. Prints how many came back right, and what was agreed; any certificate will do.
 */
import { chromium } from "playwright-core";

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});

try {
  const page = await browser.newPage({ ignoreHTTPSErrors: true });
  await page.goto(process.argv[2].replace(/^ws/, "http").replace(/[^/]*$/, "no-such-page")); /* any page of this origin */
  console.log(await page.evaluate((url) => new Promise((resolve, reject) => {
    const sizes = [0, 1, 125, 126, 127, 65535, 65536, 1 << 20, 16 << 20];
    const make = (number) => {
      const size = sizes[number >> 1];
      const bytes = new Uint8Array(size).map((_, i) => ((i * i) >> 3) & 0x7f); /* ASCII: a text of as many bytes */
      return number & 1 ? new TextDecoder().decode(bytes) : bytes;
    };
    const socket = new WebSocket(url);
    let right = 0;
    let sent = make(0);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => socket.send(sent);
    socket.onerror = () => reject(new Error("the connection failed"));
    socket.onmessage = ({ data }) => {
      const same = typeof sent === "string" ? data === sent
        : data.byteLength === sent.length && new Uint8Array(data).every((byte, i) => byte === sent[i]);
      if (!same) reject(new Error(`message ${right} is another one`));
      right += 1;
      if (right === 2 * sizes.length) {
        socket.close(3210, "enough");
        return;
      }
      sent = make(right);
      socket.send(sent);
    };
    socket.onclose = (event) => resolve(`${right} right, ${event.code}, [${socket.extensions}]`);
  }), process.argv[2]));
} finally {
  await browser.close();
}
