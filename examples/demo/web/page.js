import htm from "htm";

const escaped = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
const escape = (text) => String(text).replaceAll(/[&<>"]/g, (character) => escaped[character]);

/** HTML that is not escaped again. */
class Html {
  constructor(text) {
    this.text = text;
  }
}

const render = (child) => {
  if (child instanceof Html) return child.text;
  if (Array.isArray(child)) return child.map(render).join("");
  return child == null ? "" : escape(child);
};

const html = htm.bind((tag, properties, ...children) => {
  const attributes = Object.entries(properties ?? {}).map(([name, value]) => ` ${name}="${escape(value)}"`);
  return new Html(`<${tag}${attributes.join("")}>${render(children)}</${tag}>`);
});

const price = (cents) => `${(cents / 100).toFixed(2)} €`;

/** Returns a page that shows these products. */
export function page(products, style) {
  const body = html`
    <html lang="en">
      <head><title>Shop</title><style>${new Html(style)}</style></head>
      <body>
        <h1><a href="/">Shop</a></h1>
        <ul>
          ${products.map(
            ({ id, name, cents }) => html`<li><a href=${`/${id}`}>${name}</a> <b>${price(cents)}</b></li>`,
          )}
        </ul>
      </body>
    </html>
  `;
  return `<!doctype html>${body.text}\n`;
}
