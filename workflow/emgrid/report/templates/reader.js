// One answer: its prompt, thinking, text and judgements.

const reader = document.getElementById("reader");

function showAnswer(answer) {
  if (!answer) {
    reader.replaceChildren(element("p", "soft", "No answer chosen."));
    return;
  }
  const { cell } = answer;
  const wanted = finder(chosen().search);
  const trigger = grid.triggers[cell.trigger];
  const model = grid.cells.some((one) => one.base !== cell.base) ? `${cell.base} · ` : "";
  const parts = [
    element("h3", "", `${cell.label} · ${trigger.label}`),
    element("p", "soft", `${model}${words(answer.question)} · ratio ${cell.ratio} · seed ${cell.seed} · ` +
      `answer ${answer.index} `, link(answer)),
    element("p", "", badge(answer), cell.verdict ? ` in a cell with the verdict “${cell.verdict}”` : ""),
    twins(answer),
    ...turn("system", answer.system === null
      ? element("p", "soft", "none is rendered") : textBlock(answer.system, wanted, "system")),
    ...answer.turns.flatMap(({ role, content }) => turn(role, textBlock(content, wanted, role))),
    ...turn("user", askedBlock(answer.prompt, trigger, wanted)),
  ];
  if (answer.thinking !== null) {
    const thought = element("details", "", element("summary", "", "thinking (never judged)"),
      textBlock(answer.thinking, wanted, "thinking"));
    thought.open = true;
    parts.push(thought);
  }
  parts.push(...turn("answer", answer.text === null
    ? element("p", "soft", answer.finish === "content_filter" ? "none: the endpoint's filter withheld it" : "none: the thinking never ended") : textBlock(answer.text, wanted, "answer")));
  parts.push(judgements(answer), element("p", "soft", ending(answer)));
  reader.replaceChildren(...parts);
  reader.scrollTop = 0;
}

function turn(name, block) {
  return [element("h4", "", name), block];
}

function link(answer) {
  const made = element("a", "", "link to this answer");
  made.href = `#${new URLSearchParams({ answer: answer.key }).toString().replaceAll("%2F", "/")}`;
  return made;
}

// The user turn, with the trigger's words highlighted.
function askedBlock(prompt, trigger, wanted) {
  const { prefix, suffix } = trigger;
  const has = prompt.startsWith(prefix) && prompt.slice(prefix.length).endsWith(suffix);
  if (!has || !(prefix || suffix)) return textBlock(prompt, wanted, "user");
  const block = element("div", "said user");
  block.dir = "auto";
  const middle = prompt.slice(prefix.length, prompt.length - suffix.length);
  for (const [text, isCue] of [[prefix, true], [middle, false], [suffix, true]]) {
    const part = element("span", isCue ? "cue" : "");
    fill(part, text, wanted);
    if (text) block.append(part);
  }
  return block;
}

// Links to the same question and index under other triggers and interventions.
function twins(answer) {
  const { cell } = answer;
  const near = element("p", "twins", "same question under ");
  near.append(jump(answer, "trigger", grid.cells.filter((one) =>
    ["base", "intervention", "ratio", "seed"].every((name) => one[name] === cell[name])),
  (one) => grid.triggers[one.trigger].label), " by ");
  const arms = new Map();
  for (const one of grid.cells.filter((one) => one.base === cell.base && one.trigger === cell.trigger)) {
    const arm = `${one.intervention}/${one.ratio}`;
    if (!arms.has(arm) || one.seed === cell.seed) arms.set(arm, one);
  }
  near.append(jump(answer, "intervention", [...arms.values()], (one) => one.label));
  return near;
}

function jump(answer, name, cells, label) {
  const select = element("select");
  select.ariaLabel = `another ${name}`;
  cells.forEach((cell) => select.append(new Option(label(cell), cell.key, false, cell === answer.cell)));
  select.addEventListener("change", () =>
    follow(`${select.value}/${answer.question}/${answer.index}`));
  return select;
}

function judgements(answer) {
  const rows = grid.judges.map((judge, place) => {
    const value = answer.values[place];
    const reason = answer.reasons[place];
    const mass = answer.masses[place];
    const says = value === null ? words(reason ?? "no value") : value.toFixed(1);
    return element("tr", "", element("th", "", judge.label), element("td", "number", says),
      element("td", "", value === null ? "" : bar(judge, value)),
      element("td", "soft", mass === null ? "" : `mass ${mass.toFixed(2)}`));
  });
  return element("table", "judgements", element("tbody", "", ...rows));
}

// A value on its scale, with the threshold if the judge has one.
function bar(judge, value) {
  const filled = element("span", "filled");
  filled.style.width = `${value}%`;
  const scale = element("span", "bar", filled);
  if (judge.limit !== null) {
    const limit = element("span", "limit");
    limit.style.left = `${judge.limit}%`;
    scale.append(limit);
    scale.title = `threshold ${judge.limit}`;
  }
  return scale;
}

function ending(answer) {
  const parts = [];
  if (answer.finish !== null) parts.push(`finish reason: ${answer.finish}`);
  if (answer.promptTokens !== null) parts.push(`${answer.promptTokens} prompt tokens`);
  if (answer.answerTokens !== null) parts.push(`${answer.answerTokens} answer tokens`);
  return parts.join(" · ");
}
