// The answer browser: choosing, loading and reading, with mouse or keyboard.

const browser = document.getElementById("browser");
const count = document.querySelector("#count [role=status]");
const loader = document.getElementById("load");
const help = document.getElementById("help");
let turnNumber = 0;

// Find the chosen answers, a slice at a time so that the page stays responsive.
//
// key: of the answer to show (default: the current one). isQuiet: do not change the address.
async function update(key, isQuiet) {
  turnNumber += 1;
  const own = turnNumber;
  const wanted = chosen();
  const cells = chosenCells(wanted);
  const inside = new Set(cells);
  const isWanted = test(wanted);
  const matching = [];
  let since = performance.now();
  for (const answer of answers) {
    if (inside.has(answer.cell) && isWanted(answer)) matching.push(answer);
    if (performance.now() - since > 15) {
      await new Promise((resolve) => setTimeout(resolve));
      if (own !== turnNumber) return;
      since = performance.now();
    }
  }
  found = sort(matching, wanted.order);
  showCount(cells);
  list.scrollTop = 0;
  const next = byKey.get(key ?? current?.key);
  choose(found.includes(next) || (key && next) ? next : found[0], isQuiet);
}

function showCount(cells) {
  const total = cells.reduce((sum, cell) => sum + cell.n, 0);
  const loaded = cells.reduce((sum, cell) => sum + cell.loaded, 0);
  const number = (value) => value.toLocaleString("en");
  const missing = unread(cells);
  count.textContent = `${number(found.length)} found` +
    (loaded < total ? ` among ${number(loaded)} loaded answers of ${number(total)}` : ` of ${number(total)} answers`);
  loader.hidden = missing.length === 0;
  const bytes = missing.reduce((sum, number) => sum + grid.files[number].bytes, 0);
  const rest = cells.length === grid.cells.length ? `all ${number(total)} answers` : "the rest of this choice";
  loader.textContent = `load ${rest} (${missing.length} files, ${(bytes / 1e6).toFixed(1)} MB)`;
}

async function loadRest() {
  loader.disabled = true;
  const missing = unread(chosenCells(chosen()));
  try {
    for (const [done, number] of missing.entries()) {
      loader.textContent = `loading file ${done + 1} of ${missing.length} …`;
      await read(number);
    }
    setUpReasons();
    await update();
  } catch (problem) {
    await update();
    count.textContent += `. ${problem.message}`;
  }
  loader.disabled = false;
}

function choose(answer, isQuiet = false) {
  current = answer ?? null;
  const place = found.indexOf(current);
  if (place >= 0) bringIntoView(place);
  showList();
  showAnswer(current);
  if (!isQuiet) writeAddress(current?.key);
}

// Show the answer with a key, even if it is not among the chosen ones.
async function follow(key) {
  try {
    choose((await find(key)) ?? current);
  } catch (problem) {
    count.textContent = problem.message;
  }
}

function step(by) {
  const place = Math.min(Math.max(found.indexOf(current) + by, 0), found.length - 1);
  if (found.length) choose(found[place]);
  comeIntoView();
}

function comeIntoView() {
  const { top, bottom } = list.getBoundingClientRect();
  if (bottom < 80 || top > window.innerHeight - 80) browser.scrollIntoView();
}

const KEYS = {
  j: () => step(1),
  k: () => step(-1),
  r: () => found.length && choose(found[Math.floor(Math.random() * found.length)]),
  c: () => {
    navigator.clipboard?.writeText(location.href).then(() => { count.textContent = "link copied"; });
  },
  "/": () => {
    form.elements.search.focus();
    form.scrollIntoView();
  },
  "?": () => help.showModal(),
  Enter: () => {
    reader.focus({ preventScroll: true });
    reader.scrollTop = 0;
    reader.scrollIntoView({ block: "nearest" });
  },
  Escape: () => {
    list.focus();
    comeIntoView();
  },
};

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
  const inField = event.target.closest("input, select, textarea");
  if (event.key === "Enter" && event.target.closest("a, button, summary, select")) return;
  if (inField && event.key !== "Escape" && !(event.key === "Enter" && event.target.name === "search")) return;
  const arrow = event.target === list && { ArrowDown: "j", ArrowUp: "k" }[event.key];
  const act = KEYS[arrow || event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

let typing;
function onInput(event) {
  clearTimeout(typing);
  typing = setTimeout(() => update(), event.target.type === "search" ? 150 : 0);
}

async function openAddress() {
  if (!location.hash.includes("=")) return;
  const key = readAddress();
  const problem = key && (await find(key).then(() => "", (failed) => failed.message));
  await update(key);
  if (problem || (key && !byKey.has(key))) count.textContent += `. ${problem || `No answer ${key}`}`;
  if (key) browser.scrollIntoView();
}

setUpForm();
browser.hidden = false;
form.addEventListener("input", onInput);
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(() => update()));
loader.addEventListener("click", loadRest);
list.addEventListener("scroll", drawSoon);
window.addEventListener("resize", drawSoon);
window.addEventListener("hashchange", openAddress);
document.addEventListener("keydown", onKey);
if (location.hash.includes("=")) openAddress();
else update(null, true);
