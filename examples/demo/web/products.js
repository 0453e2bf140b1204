export const products = [
  { id: "kettle", name: "Kettle", cents: 4900 },
  { id: "teapot", name: "Teapot & lid", cents: 3250 },
  { id: "cup", name: "Cup", cents: 800 },
];
