/* A WebSocket that comes back: reconnects with growing, jittered pauses, and says how it is. */
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 5000;

export function urlOf(path) {
  const url = new URL(path, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  return url;
}

export function connect(path, { onMessage, onState = () => {} }) {
  let socket;
  let pause = FIRST_PAUSE_MS;

  function open() {
    socket = new WebSocket(urlOf(path));
    onState("connecting");
    socket.onopen = () => {
      pause = FIRST_PAUSE_MS;
      onState("open");
    };
    socket.onmessage = (event) => onMessage(event.data);
    socket.onclose = () => {
      onState("closed");
      setTimeout(open, pause * (0.5 + Math.random()));
      pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
    };
  }

  open();
  return {
    /* False when there is no connection to send on. */
    send(message) {
      if (socket.readyState !== WebSocket.OPEN) return false;
      socket.send(message);
      return true;
    },
  };
}
