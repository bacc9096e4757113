import { fileURLToPath } from 'node:url';
import type { Plugin } from 'esbuild';

/** Where `balsa/procedures` is. */
export const AUTHORING: string = fileURLToPath(
  new URL(`./procedures.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url),
);

/** `balsa/procedures` is part of this package, wherever the user's code lies. */
export const authoring: Plugin = {
  name: 'balsa-procedures',
  setup({ onResolve }) {
    onResolve({ filter: /^balsa\/procedures$/ }, () => ({ path: AUTHORING }));
  },
};
