import { chmodSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { build } from 'esbuild';

/**
 * The last step of `npm run build`: the modules that the `balsa` command loads are joined into a few files, and those of the thread
 * that runs procedures into one, since to find and read many small ones takes longer than most commands. The library stays as it
 * was compiled.
 */
const DIST = join(import.meta.dirname, 'dist');
const CLI = join(DIST, 'cli');
const MAIN = join(CLI, 'main.js');
const THREAD = join(DIST, 'compute', 'sandbox', 'worker.js');
const PART = 'part-';

/** Modules look for files beside them: each goes on looking from where it was. They know that by `import.meta.url` alone. */
const whereModulesWere = (folder) => ({
  name: 'where-modules-were',
  setup({ onLoad }) {
    onLoad({ filter: /\.js$/ }, ({ path }) => {
      const code = readFileSync(path, 'utf8');
      if (!code.includes('import.meta')) return null;
      if (/import\.meta(?!\.url\b)/.test(code)) throw new Error(`${path}: use import.meta.url`);
      const was = `new URL(${JSON.stringify(relative(folder, path))}, import.meta.url).href`;
      return { contents: code.replaceAll('import.meta.url', was), loader: 'js' };
    });
  },
});

const joined = (file) => ({
  entryPoints: [file],
  outdir: dirname(file),
  allowOverwrite: true,
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  packages: 'external',
  sourcemap: true,
  logLevel: 'warning',
  plugins: [whereModulesWere(dirname(file))],
});

for (const name of readdirSync(CLI)) if (name.startsWith(PART)) rmSync(join(CLI, name));
await build({ ...joined(MAIN), chunkNames: `${PART}[hash]`, splitting: true });
await build(joined(THREAD));
chmodSync(MAIN, 0o755);
