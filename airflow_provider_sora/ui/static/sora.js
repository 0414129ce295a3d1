"use strict";

// Airflow does not hand its theme to the frame: it is a class of the document around this one.
function followTheme() {
  const dark = (root) => root.classList.contains("dark") || root.dataset.theme === "dark";
  const show = (isDark) => document.documentElement.classList.toggle("dark", isDark);
  const outer = window.parent === window ? null : window.parent.document.documentElement;
  if (outer === null) {
    show(window.matchMedia("(prefers-color-scheme: dark)").matches);
    return;
  }
  show(dark(outer));
  new MutationObserver(() => show(dark(outer))).observe(outer, { attributes: true });
}

// The frame's sandbox lets no link of its own leave it: a link of the page around it does.
function leaveTheFrame(event) {
  const link = event.target.closest("a[data-airflow]");
  if (link === null || window.parent === window || event.ctrlKey || event.metaKey || event.button !== 0) {
    return;
  }
  event.preventDefault();
  const outer = window.parent.document.createElement("a");
  outer.href = link.href;
  window.parent.document.body.append(outer);
  outer.click();
  outer.remove();
}

// A page of fifty films loads the first frame of those that are looked at.
function loadFilmsInSight() {
  const films = document.querySelectorAll("video[data-src]");
  const observer = new IntersectionObserver((seen) => {
    for (const each of seen.filter((entry) => entry.isIntersecting)) {
      observer.unobserve(each.target);
      each.target.src = each.target.dataset.src;
    }
  }, { rootMargin: "200px" });
  films.forEach((film) => observer.observe(film));
}

// A button with data-action asks for a reason and sends it to the URL; the answer's message is shown.
async function act(event) {
  event.preventDefault();
  const form = event.target;
  const told = form.querySelector("[role=status]");
  const buttons = form.querySelectorAll("button");
  const body = Object.fromEntries(new FormData(form, event.submitter));
  buttons.forEach((button) => { button.disabled = true; });
  told.textContent = "…";
  try {
    // Not form.action: its buttons are called so.
    const answer = await fetch(form.getAttribute("action"), {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Sora-Action": "1" },
      body: JSON.stringify(body),
    });
    const said = await answer.json();
    told.textContent = said.message;
    told.classList.toggle("error", !answer.ok);
    if (answer.ok) {
      window.setTimeout(() => window.location.reload(), 1500);
      return;
    }
  } catch (error) {
    told.textContent = `Airflow did not answer: ${error.message}. Look whether it was done before you try again.`;
    told.classList.add("error");
  }
  buttons.forEach((button) => { button.disabled = false; });
}

// What is under way is asked for again, unless somebody is in the middle of something.
function refresh() {
  const seconds = Number(document.body.dataset.refresh || 0);
  if (seconds > 0) {
    window.setInterval(() => {
      const isTyped = document.activeElement !== null && document.activeElement.matches("input, select, textarea, button");
      const isPlayed = [...document.querySelectorAll("video")].some((film) => !film.paused);
      if (!isTyped && !isPlayed) {
        window.location.reload();
      }
    }, seconds * 1000);
  }
}

// What is not chosen is not in the address.
function leaveOutWhatIsEmpty(event) {
  for (const [name, value] of [...event.formData]) {
    if (value === "") {
      event.formData.delete(name);
    }
  }
}

// Airflow keeps the zone that one has chosen; without a choice it goes by the browser's own, as this does.
function zoneOfAirflow() {
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  try {
    const chosen = JSON.parse(window.localStorage.getItem("timezone"));
    return Intl.DateTimeFormat("en", { timeZone: chosen ?? own }).resolvedOptions().timeZone;
  } catch {
    return own;
  }
}

function ago(seconds) {
  const units = [["s", 60], ["min", 60], ["h", 24], ["days", Infinity]];
  let left = Math.max(0, seconds);
  for (const [unit, next] of units) {
    if (left < next) {
      return `${Math.floor(left)} ${unit === "days" && left < 2 ? "day" : unit} ago`;
    }
    left /= next;
  }
  return "";
}

// Times are written in UTC, and read so where no script runs.
function showTimes() {
  const timeZone = zoneOfAirflow();
  const shown = new Intl.DateTimeFormat("en-GB", {
    timeZone, timeZoneName: "short", hourCycle: "h23",
    year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
  });
  for (const each of document.querySelectorAll("time[datetime]")) {
    const moment = new Date(each.dateTime);
    if (Number.isNaN(moment.getTime())) {
      continue;
    }
    const part = Object.fromEntries(shown.formatToParts(moment).map(({ type, value }) => [type, value]));
    const seconds = (Date.now() - moment) / 1000;
    each.dataset.utc ??= each.textContent;
    each.textContent = `${part.year}-${part.month}-${part.day} ${part.hour}:${part.minute}:${part.second} ${part.timeZoneName}`;
    if (seconds >= 0 && seconds < 3600) {
      each.textContent += ` (${ago(seconds)})`;
    }
    each.title = seconds < 0 ? each.dataset.utc : `${each.dataset.utc}, ${ago(seconds)}`;
  }
}

function submitOnChange(event) {
  const form = event.target.closest("form.filters");
  if (form !== null) {
    form.requestSubmit();
  }
}

followTheme();
document.addEventListener("click", leaveTheFrame);
document.addEventListener("change", submitOnChange);
document.querySelectorAll("form.filters").forEach((form) => form.addEventListener("formdata", leaveOutWhatIsEmpty));
window.addEventListener("storage", (event) => { if (event.key === "timezone") { showTimes(); } });
window.setInterval(showTimes, 30000);
showTimes();
document.querySelectorAll("form[data-action]").forEach((form) => form.addEventListener("submit", act));
loadFilmsInSight();
refresh();
