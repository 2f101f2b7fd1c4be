/** Counts down on buttons that can't be used yet. */
for (const button of document.querySelectorAll('[data-wait-seconds]')) {
  const label = button.textContent;
  const endsAt = Date.now() + Number(button.dataset.waitSeconds) * 1000;
  const tick = () => {
    const seconds = Math.ceil((endsAt - Date.now()) / 1000);
    button.disabled = seconds > 0;
    button.textContent = seconds > 0 ? `${label} in ${seconds} s` : label;
    if (seconds > 0) setTimeout(tick, 1000);
  };
  tick();
}

/** What was not right is typed over. */
const field = document.querySelector('input[aria-invalid]');
field?.focus();
field?.select();

/** No form is sent twice. A page that the browser shows again by its back button can be used again. */
document.addEventListener('submit', ({ target }) => {
  // After the form has been read: a button that is disabled has no part in it.
  setTimeout(() => setBusy(target, true));
});
addEventListener('pageshow', ({ persisted }) => {
  if (persisted) for (const form of document.forms) setBusy(form, false);
});

function setBusy(form, isBusy) {
  form.setAttribute('aria-busy', String(isBusy));
  for (const button of form.querySelectorAll('button')) button.disabled = isBusy;
}
