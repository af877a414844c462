// Manifests are imported as text and go into the executable like that.
declare module "*.yaml" {
  const text: string;
  export default text;
}
