// Nothing needs this: it counts down until another code may be asked for, and keeps a form from being sent twice.

for (const button of document.querySelectorAll('button[data-wait-seconds]')) {
  const text = button.textContent;
  const until = Date.now() + Number(button.dataset.waitSeconds) * 1000;
  const tick = () => {
    const seconds = Math.ceil((until - Date.now()) / 1000);
    button.disabled = seconds > 0;
    button.textContent = seconds > 0 ? button.dataset.waitText.replace('{seconds}', String(seconds)) : text;
    if (seconds > 0) setTimeout(tick, 250);
  };
  tick();
}

const sent = new Set();
for (const form of document.forms) {
  form.addEventListener('submit', (event) => {
    if (sent.has(form)) event.preventDefault();
    sent.add(form);
    // It may have been stopped on its way.
    setTimeout(() => sent.delete(form), 5000);
  });
}
// A page that comes back from the browser's memory may be sent again.
addEventListener('pageshow', () => sent.clear());
