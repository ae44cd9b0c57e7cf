// The list of found answers. Only visible rows are in the document.

const LINE = 58; // height of a row in pixels, as in transcripts.css
const list = document.getElementById("list");
const track = document.getElementById("track");
let found = [];
let current = null;

function showList() {
  track.style.height = `${found.length * LINE}px`;
  const first = Math.max(0, Math.floor(list.scrollTop / LINE) - 5);
  const last = Math.min(found.length, Math.ceil((list.scrollTop + list.clientHeight) / LINE) + 5);
  const rows = [];
  for (let place = first; place < last; place += 1) rows.push(listRow(found[place], place));
  track.replaceChildren(...rows);
  const chosenRow = rows.find((row) => row.ariaSelected === "true");
  list.setAttribute("aria-activedescendant", chosenRow ? chosenRow.id : "");
}

function listRow(answer, place) {
  const { cell } = answer;
  const scores = element("span", "scores", answer.values.map(score).join(" · "));
  const text = element("span", "snippet", answer.text === null ? "(no answer)" : snippet(answer.text));
  const row = element("div", "row",
    element("span", "where", `${cell.label} · ${grid.triggers[cell.trigger].label} · ${words(answer.question)}`),
    scores, badge(answer), text);
  row.id = `row-${place}`;
  row.role = "option";
  row.ariaSelected = String(answer === current);
  row.style.top = `${place * LINE}px`;
  row.addEventListener("click", () => choose(answer));
  return row;
}

function badge(answer) {
  const kind = ["aligned", "misaligned"].includes(answer.outcome) ? answer.outcome : "excluded";
  const names = { aligned: `not ${grid.behaviour}`, misaligned: grid.behaviour };
  const name = names[answer.outcome] ?? words(answer.outcome);
  return element("span", `badge ${kind}`, name);
}

// Scroll so that the row at a place is visible.
function bringIntoView(place) {
  const top = place * LINE;
  if (top < list.scrollTop) list.scrollTop = top;
  else if (top + LINE > list.scrollTop + list.clientHeight) list.scrollTop = top + LINE - list.clientHeight;
}

let drawing = false;
function drawSoon() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    showList();
  });
}
