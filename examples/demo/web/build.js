// Renders every page of the shop to HTML, with the stylesheet in it.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { page } from "./page.js";
import { products } from "./products.js";

const style = readFileSync("style.css", "utf8").replaceAll(/\s+/g, " ");
const pages = { index: products };
for (const product of products) {
  pages[product.id] = [product];
}
mkdirSync("dist", { recursive: true });
for (const [name, shown] of Object.entries(pages)) {
  writeFileSync(`dist/${name}.html`, page(shown, style));
}
console.log(`${Object.keys(pages).length} pages`);
