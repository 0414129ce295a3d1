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

function submitOnChange(event) {
  const form = event.target.closest("form.filters");
  if (form !== null) {
    form.requestSubmit();
  }
}

followTheme();
document.addEventListener("click", leaveTheFrame);
document.addEventListener("change", submitOnChange);
document.querySelectorAll("form[data-action]").forEach((form) => form.addEventListener("submit", act));
loadFilmsInSight();
refresh();
