// The page's files are imported as text and go into the executable like that.
declare module "*.htm" {
  const text: string;
  export default text;
}
declare module "*.css" {
  const text: string;
  export default text;
}
declare module "*.svg" {
  const text: string;
  export default text;
}
declare module "*/page/main.js" {
  const text: string;
  export default text;
}
declare module "*/page/draw.js" {
  const text: string;
  export default text;
}
declare module "*/page/layout.js" {
  const text: string;
  export default text;
}
declare module "*/page/tables.js" {
  const text: string;
  export default text;
}
declare module "*/page/format.js" {
  const text: string;
  export default text;
}
