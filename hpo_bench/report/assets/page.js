"use strict";
const plots = [...document.querySelectorAll(".plot")];
const root = document.documentElement;
const config = {
  responsive: true, displaylogo: false,
  // Where nothing hovers, the bar would stay, and lie over the legend.
  displayModeBar: matchMedia("(hover: hover)").matches ? "hover" : false,
  modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"],
};

function colour(name) {
  return getComputedStyle(root).getPropertyValue(`--${name}`).trim();
}

function isNarrow(plot) {
  return plot.clientWidth < 480;
}

function themed(layout, plot) {
  const axis = {
    gridcolor: colour("line"), zerolinecolor: colour("faint"), linecolor: colour("line"),
    automargin: true, zeroline: false,
  };
  const made = {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "inherit", size: isNarrow(plot) ? 11 : 13, color: colour("ink") },
    margin: { l: 60, r: 16, t: 12, b: 50 }, hovermode: "closest",
    hoverlabel: { bgcolor: colour("shade"), font: { color: colour("ink") } },
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", traceorder: "normal" },
    ...layout,
  };
  for (const name of ["xaxis", "yaxis"]) {
    if (layout[name]) made[name] = { ...axis, ...layout[name] };
  }
  return made;
}

function fitted(traces, plot) {
  // Parallel coordinates cannot be squeezed into a phone: there they may be scrolled.
  if (traces[0].type === "parcoords") {
    plot.style.minWidth = `${110 * traces[0].dimensions.length}px`;
    plot.parentElement.style.overflowX = "auto";
  }
  return traces;
}

async function draw(plot) {
  const spec = JSON.parse(plot.nextElementSibling.textContent);
  await Plotly.react(plot, fitted(spec.data, plot), themed(spec.layout, plot), config);
  // A picture is one thing to whoever goes through the page by keys: its tables say the same.
  for (const part of plot.querySelectorAll("a, button, [tabindex]")) part.tabIndex = -1;
}

const boxes = [...document.querySelectorAll(".scroll")];

function showWhatScrolls(box) {
  const hidden = box.scrollWidth - box.clientWidth;
  box.classList.toggle("scrolls", hidden > 1);
  box.classList.toggle("more", hidden - box.scrollLeft > 1);
  if (hidden > 1) box.tabIndex = 0; else box.removeAttribute("tabindex");
}

const sizes = new ResizeObserver((changed) => changed.forEach(({ target }) => showWhatScrolls(target)));
for (const box of boxes) {
  sizes.observe(box);
  box.addEventListener("scroll", () => showWhatScrolls(box), { passive: true });
}

async function drawAll() {
  for (const plot of plots) {
    await draw(plot);
    await new Promise((resolve) => setTimeout(resolve));  // the page stays usable meanwhile
  }
}

document.getElementById("theme").addEventListener("click", () => {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = root.dataset.theme || (dark ? "dark" : "light");
  root.dataset.theme = now === "dark" ? "light" : "dark";
  drawAll();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);

let before;
addEventListener("beforeprint", () => {
  before = root.dataset.theme;
  root.dataset.theme = "light";
  for (const folded of document.querySelectorAll("details")) folded.open = true;
  plots.forEach(draw);  // printing does not wait
});
addEventListener("afterprint", () => {
  if (before) root.dataset.theme = before; else delete root.dataset.theme;
  drawAll();
});

drawAll().then(() => { root.dataset.drawn = plots.length; });
