import { chmodSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { build } from 'esbuild';

/**
 * The last step of `npm run build`: the modules that the `balsa` command loads are joined into a few files, since to find and
 * read hundreds of small ones takes longer than most commands. The library, and the code of threads, stay as they were compiled.
 */
const DIST = join(import.meta.dirname, 'dist');
const CLI = join(DIST, 'cli');
const MAIN = join(CLI, 'main.js');
const PART = 'part-';

/** Modules look for files beside them: each goes on looking from where it was. They know that by `import.meta.url` alone. */
const whereModulesWere = {
  name: 'where-modules-were',
  setup({ onLoad }) {
    onLoad({ filter: /\.js$/ }, ({ path }) => {
      const code = readFileSync(path, 'utf8');
      if (!code.includes('import.meta')) return null;
      if (/import\.meta(?!\.url\b)/.test(code)) throw new Error(`${path}: use import.meta.url`);
      const was = `new URL(${JSON.stringify(relative(CLI, path))}, import.meta.url).href`;
      return { contents: code.replaceAll('import.meta.url', was), loader: 'js' };
    });
  },
};

for (const name of readdirSync(CLI)) if (name.startsWith(PART)) rmSync(join(CLI, name));
await build({
  entryPoints: [MAIN],
  outdir: CLI,
  allowOverwrite: true,
  chunkNames: `${PART}[hash]`,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  packages: 'external',
  sourcemap: true,
  logLevel: 'warning',
  plugins: [whereModulesWere],
});
chmodSync(MAIN, 0o755);
