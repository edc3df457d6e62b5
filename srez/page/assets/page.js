// Each picture has an alternative text: the label of its block, where Gradio gives it none.
new MutationObserver(() => {
  for (const image of document.querySelectorAll("img:not([alt]), img[alt='']")) {
    const label = image.closest(".block")?.querySelector("[data-testid='block-label'], .block-label, label, .label");
    image.alt = label?.textContent.trim() || "picture";
  }
}).observe(document, { childList: true, subtree: true, attributes: true, attributeFilter: ["src", "alt"] });
