/*
 * A browser that puts a token where browsers can: among its subprotocols. Usage: node token.js URL TOKEN. Prints, for each way to
 * offer it, the subprotocol that the browser took, or how it ended; any certificate will do.
 */
import { chromium } from "playwright-core";

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});

try {
  const page = await browser.newPage({ ignoreHTTPSErrors: true });
  const [url, token] = process.argv.slice(2);
  await page.goto(url.replace(/^ws/, "http").replace(/[^/]*$/, "no-such-page")); /* any page of this origin */
  for (const offer of [["bearer", token], ["chat.v1", "bearer", token], ["bearer", token, "chat.v1"], ["bearer", `${token}x`], [token]])
    console.log(await page.evaluate(([to, names]) => new Promise((resolve) => {
      const socket = new WebSocket(to, names);
      socket.onopen = () => socket.close(1000);
      socket.onclose = ({ code }) => resolve(`${code} ${socket.protocol}`);
    }), [url, offer]));
} finally {
  await browser.close();
}
