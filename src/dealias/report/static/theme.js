// Sets the colours before anything is drawn; the rest of the page's scripts come later.
(() => {
  "use strict";
  const root = document.documentElement;
  const choices = ["light", "dark"];

  function stored() {
    try {
      return localStorage.getItem("dealias-theme");
    } catch {
      return null; // storage may be forbidden for files
    }
  }

  function apply(choice) {
    if (choices.includes(choice)) root.dataset.theme = choice;
    else delete root.dataset.theme;
  }

  apply(stored());
  addEventListener("DOMContentLoaded", () => {
    const control = document.getElementById("theme");
    control.value = root.dataset.theme ?? "auto";
    control.addEventListener("change", () => {
      apply(control.value);
      try {
        localStorage.setItem("dealias-theme", control.value);
      } catch {
        // it holds for this page at least
      }
    });
  });
})();
