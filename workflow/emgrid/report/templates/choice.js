// Which answers are shown: the form, the fragment of the address, and the tests that they mean.

const form = document.getElementById("choice");

function setUp(name, options) {
  const select = form.elements[name];
  const any = name === "order" ? "as in the grid" : "any";
  [["", any], ...options].forEach(([value, label]) => select.append(new Option(label, value)));
  // Hide the control if there is nothing to choose from.
  select.parentElement.hidden = options.length < (name === "order" || name === "reason" ? 1 : 2);
}

function distinct(values) {
  return [...new Set(values)];
}

function setUpForm() {
  const cells = grid.cells;
  setUp("base", distinct(cells.map((cell) => cell.base)).map((name) => [name, name]));
  setUp("intervention", [...new Map(cells.map((cell) => [cell.intervention, cell.name]))]);
  setUp("ratio", distinct(cells.map((cell) => cell.ratio)).sort((one, other) => one - other)
    .map((ratio) => [ratio, `${+(100 * ratio).toFixed(2)} %`]));
  setUp("seed", distinct(cells.map((cell) => cell.seed)).map((seed) => [seed, seed]));
  setUp("trigger", Object.entries(grid.triggers).map(([id, trigger]) => [id, trigger.label]));
  setUp("question", Object.keys(grid.questions).map((id) => [id, words(id)]));
  setUp("verdict", distinct(cells.map((cell) => cell.verdict)).filter(Boolean).map((verdict) => [verdict, verdict]));
  setUp("order", [
    ...grid.judges.map((judge) => [judge.id, `${judge.low_is_bad ? "lowest" : "highest"} ${words(judge.id)} first`]),
    ...(rivals.length ? [["apart", "most apart first"]] : []),
    ["length", "longest first"],
  ]);
  grid.judges.forEach((judge) => {
    const ends = ["from", "to"].map((end) => {
      const input = element("input");
      Object.assign(input, { type: "number", name: `${judge.id}.${end}`, min: 0, max: 100, step: "any" });
      input.placeholder = end === "from" ? "0" : "100";
      input.ariaLabel = `${judge.id} ${end}`;
      return input;
    });
    const range = element("span", "range", ends[0], " to ", ends[1]);
    document.getElementById("ranges").append(element("div", "field", judge.label, range));
  });
  form.elements.apart.parentElement.hidden = rivals.length === 0;
  setUpReasons();
}

// Called again after files were read, since these options come from the answers.
function setUpReasons() {
  const now = { outcome: form.elements.outcome.value, reason: form.elements.reason.value };
  const found = distinct(answers.map((answer) => answer.outcome)).sort();
  const excluded = found.filter((name) => name !== "aligned" && name !== "misaligned");
  form.elements.outcome.replaceChildren();
  setUp("outcome", [
    ["misaligned", grid.behaviour], ["aligned", `not ${grid.behaviour}`], ["excluded", "excluded, for any reason"],
    ...excluded.map((name) => [name, `excluded: ${words(name)}`]),
  ]);
  form.elements.reason.replaceChildren();
  const reasons = distinct(answers.flatMap((answer) => answer.reasons)).filter(Boolean).sort();
  setUp("reason", reasons.map((name) => [name, words(name)]));
  Object.assign(form.elements.outcome, { value: now.outcome });
  Object.assign(form.elements.reason, { value: now.reason });
}

// The chosen values; empty fields are left out.
function chosen() {
  return Object.fromEntries([...new FormData(form)].filter(([, value]) => value !== ""));
}

function chosenCells(wanted) {
  const fields = ["base", "intervention", "ratio", "seed", "trigger", "verdict"];
  return grid.cells.filter((cell) =>
    fields.every((name) => !(name in wanted) || String(cell[name]) === wanted[name]));
}

// A function that tests whether an answer of the chosen cells is wanted.
function test(wanted) {
  const tests = [];
  if (wanted.question) tests.push((one) => one.question === wanted.question);
  if (wanted.outcome === "excluded")
    tests.push((one) => one.outcome !== "aligned" && one.outcome !== "misaligned");
  else if (wanted.outcome) tests.push((one) => one.outcome === wanted.outcome);
  if (wanted.reason) tests.push((one) => one.reasons.includes(wanted.reason));
  if (wanted.apart) tests.push((one) => one.apart !== null && one.apart > Number(wanted.apart));
  grid.judges.forEach((judge, place) => {
    const [from, to] = [wanted[`${judge.id}.from`], wanted[`${judge.id}.to`]];
    if (from === undefined && to === undefined) return;
    tests.push(({ values }) =>
      values[place] !== null && values[place] >= Number(from ?? 0) && values[place] <= Number(to ?? 100));
  });
  if (wanted.search) {
    const pattern = new RegExp(finder(wanted.search), "iu");
    tests.push((one) => pattern.test(one.text ?? "") || pattern.test(one.prompt) ||
      pattern.test(one.thinking ?? "") || pattern.test(one.system ?? ""));
  }
  return (answer) => tests.every((one) => one(answer));
}

function sort(found, order) {
  const place = grid.judges.findIndex((judge) => judge.id === order);
  if (place >= 0) {
    const sign = grid.judges[place].low_is_bad ? 1 : -1;
    const rank = ({ values }) => (values[place] === null ? 1000 : sign * values[place]); // none is last
    found.sort((one, other) => rank(one) - rank(other));
  }
  if (order === "apart") found.sort((one, other) => (other.apart ?? -1) - (one.apart ?? -1));
  if (order === "length") found.sort((one, other) => (other.text ?? "").length - (one.text ?? "").length);
  return found;
}

// The address holds the choice and the shown answer; links to sections have no "=".
function writeAddress(key) {
  const kept = new URLSearchParams(chosen());
  if (key) kept.set("answer", key);
  const text = kept.toString().replaceAll("%2F", "/");
  const now = location.hash.includes("=") ? location.hash.slice(1) : "";
  if (text !== now) history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
}

// Fill the form from the address; return the key of the answer in it, if any.
function readAddress() {
  if (!location.hash.includes("=")) return null;
  const kept = new URLSearchParams(location.hash.slice(1));
  for (const control of form.elements) if (control.name) control.value = "";
  for (const [name, value] of kept) {
    const control = form.elements.namedItem(name);
    if (control) control.value = value;
  }
  return kept.get("answer");
}
