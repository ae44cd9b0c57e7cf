// The answers: those in the page, and those that are loaded from the files next to it.

const grid = JSON.parse(document.getElementById("transcript-data").textContent);
const answers = []; // in the order of answers.parquet
const byKey = new Map();
const awaited = new Map(); // by number of a file: the function to call when it has been read
const scripts = window.trustedTypes
  ? trustedTypes.createPolicy("answers", { createScriptURL: (url) => url })
  : { createScriptURL: (url) => url };

grid.cells.forEach((cell) => {
  cell.key = [cell.base, cell.intervention, cell.ratio, cell.seed, cell.trigger].join("/");
  cell.loaded = 0;
});
// Groups of judges that measure the same.
const rivals = Object.values(Object.groupBy(grid.judges.map((judge, place) => ({ place, ...judge })),
  (judge) => judge.measures)).filter((group) => group.length > 1);

function take(rows) {
  rows.place.forEach((place, i) => {
    const cell = grid.cells[rows.cell[i]];
    const [system, prompt, turns = []] = rows.prompts[rows.prompt[i]];
    const values = rows.values.map((column) => column[i]);
    const answer = {
      place, cell, system, prompt, turns, values,
      key: `${cell.key}/${rows.question[i]}/${rows.index[i]}`,
      question: rows.question[i],
      index: rows.index[i],
      outcome: rows.outcome[i],
      text: rows.answer[i],
      thinking: rows.thinking[i],
      finish: rows.finish_reason[i],
      promptTokens: rows.prompt_tokens[i],
      answerTokens: rows.answer_tokens[i],
      reasons: rows.reasons.map((column) => column[i]),
      masses: rows.masses.map((column) => column[i]),
      apart: disagreement(values),
    };
    cell.loaded += 1;
    answers.push(answer);
    byKey.set(answer.key, answer);
  });
  answers.sort((one, other) => one.place - other.place);
}

// The largest difference between judges that measure the same; null with fewer than two values.
function disagreement(values) {
  let most = null;
  for (const group of rivals) {
    const own = group.map((judge) => values[judge.place]).filter((value) => value !== null);
    if (own.length > 1) most = Math.max(most ?? 0, Math.max(...own) - Math.min(...own));
  }
  return most;
}

// Called by each file of answers.
function receive(number, text) {
  take(JSON.parse(text));
  grid.files[number].done = true;
  awaited.get(number)?.();
}

// Read a file once. The promise is rejected if the file cannot be read.
function read(number) {
  const file = grid.files[number];
  file.reading ??= new Promise((resolve, reject) => {
    awaited.set(number, resolve);
    const script = document.createElement("script");
    script.src = scripts.createScriptURL(`transcripts/${file.name}`);
    script.addEventListener("load", () => script.remove());
    script.addEventListener("error", () => {
      script.remove();
      file.reading = undefined;
      reject(new Error(`transcripts/${file.name} could not be read; it belongs next to this page`));
    });
    document.head.append(script);
  });
  return file.reading;
}

// Numbers of the unread files with answers of these cells.
function unread(cells) {
  const numbers = new Set(cells.map((cell) => grid.cells.indexOf(cell)));
  return grid.files.flatMap((file, number) =>
    !file.done && file.cells.some((cell) => numbers.has(cell)) ? [number] : []);
}

// The answer with this key. The files of its cell are read until it is found.
async function find(key) {
  const cell = grid.cells.find((candidate) => key.startsWith(`${candidate.key}/`));
  for (const number of cell ? unread([cell]) : []) {
    if (byKey.has(key)) break;
    await read(number);
  }
  return byKey.get(key);
}

take(grid.rows);
