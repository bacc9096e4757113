import { fileURLToPath } from 'node:url';

/** Where `balsa/procedures` is: part of this package, wherever the user's code lies. */
export const AUTHORING: string = fileURLToPath(
  new URL(`./procedures.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url),
);
