/*
 * The picture's own script: it connects back to where it came from, and is moved from both sides. A classic script that
 * imports what it needs, because browsers do not run module scripts in XML documents.
 */
const svg = document.documentElement;
const shapes = new Map([...document.querySelectorAll(".shape")].map((shape) => [shape.id, shape]));
let held = null;

function place(shape, x, y) {
  shape.setAttribute("cx", x);
  shape.setAttribute("cy", y);
}

let link = { send: () => false }; /* until the import is there */

import("./link.js").then(({ connect }) => {
  link = connect("/drawing", {
    onMessage(data) {
      const { id, x, y } = JSON.parse(data);
      const shape = shapes.get(id);
      if (shape && shape !== held && Number.isFinite(x) && Number.isFinite(y)) place(shape, x, y);
    },
    onState(state) {
      svg.dataset.state = state; /* for a page that does not listen yet */
      parent.postMessage({ drawing: state }, location.origin);
    },
  });
});

/* From the pixels of the screen to the units of the picture. */
function pointOf(event) {
  return new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
}

for (const shape of shapes.values()) {
  shape.addEventListener("pointerdown", (event) => {
    held = shape;
    shape.classList.add("held");
    shape.setPointerCapture(event.pointerId);
  });
  shape.addEventListener("pointermove", (event) => {
    if (held !== shape) return;
    const { x, y } = pointOf(event);
    place(shape, x, y);
    link.send(JSON.stringify({ id: shape.id, x, y }));
  });
  for (const end of ["pointerup", "pointercancel"]) {
    shape.addEventListener(end, () => {
      held = null;
      shape.classList.remove("held");
    });
  }
}
