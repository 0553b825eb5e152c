"use strict";
for (const figure of document.querySelectorAll("[data-compare]")) {
  const stage = figure.querySelector(".stage");
  const slider = stage.querySelector("input");
  const names = [...stage.querySelectorAll(".tag")].map((tag) => tag.textContent);
  const show = () => {
    stage.style.setProperty("--cut", slider.value + "%");
    slider.setAttribute("aria-valuetext", `${slider.value} % ${names[0]}, ${100 - slider.value} % ${names[1]}`);
  };
  const follow = (event) => {
    const place = stage.getBoundingClientRect();
    slider.value = Math.round((100 * (event.clientX - place.left)) / place.width);
    show();
  };
  slider.addEventListener("input", show);
  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    stage.setPointerCapture(event.pointerId);
    slider.focus({ preventScroll: true });
    follow(event);
    event.preventDefault();
  });
  stage.addEventListener("pointermove", (event) => {
    if (stage.hasPointerCapture(event.pointerId)) follow(event);
  });
  figure.addEventListener("change", (event) => {
    if (event.target.type !== "radio") return;
    for (const layer of stage.querySelectorAll(".layer")) layer.hidden = layer.dataset.layer !== event.target.value;
  });
  show();
}
