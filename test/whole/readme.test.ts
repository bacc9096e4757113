import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LocalCluster } from '../../src/cluster/local-cluster.js';

const ROOT = resolve(import.meta.dirname, '../..');
const README = readFileSync(join(ROOT, 'README.md'), 'utf8');
const run = promisify(execFile);

/** The blocks of code of a language, as they stand in the README. */
function blocks(language: string): string[] {
  return [...README.matchAll(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, 'g'))].map(
    (match) => match[1] as string,
  );
}

describe('the README', () => {
  let cluster: LocalCluster;
  let folder = '';
  beforeAll(async () => {
    cluster = await LocalCluster.start();
    // Inside the package, so that `import … from 'balsa'` means this one.
    folder = mkdtempSync(join(ROOT, '.readme-'));
  });
  afterAll(async () => {
    await cluster.close();
    rmSync(folder, { recursive: true });
  });

  test('has an example of the client that type-checks and runs as it stands', async () => {
    const [example] = blocks('ts');
    if (example === undefined) throw new Error('an example');
    const local = example.replace(
      /\['127\.0\.0\.1:7001', '127\.0\.0\.1:7002', '127\.0\.0\.1:7003'\]/,
      JSON.stringify(cluster.endpoints),
    );
    expect(local, 'the example names three endpoints').not.toBe(example);
    writeFileSync(join(folder, 'example.ts'), local);
    writeFileSync(
      join(folder, 'tsconfig.json'),
      JSON.stringify({ extends: '../tsconfig.json', include: ['example.ts'] }),
    );
    await run('npx', ['tsc', '-p', folder], { cwd: ROOT });
    const { stdout, stderr } = await run('npx', ['tsx', join(folder, 'example.ts')], { cwd: ROOT });
    expect(stdout).toMatch(/^Ada n[123] true\nuser\/1 \{ name: 'Ada', visits: 1 \}\n$/);
    expect(stderr.replace(/^npm warn.*\n/gm, '')).toBe('');
  });

  test('shows commands of the command line that do what they say', async () => {
    const lines = [
      ...README.matchAll(/^ {4}npx balsa ((?:put|get|range|count|lock|status)\b.*)$/gm),
    ];
    expect(lines.length).toBeGreaterThanOrEqual(4);
    const outputs: string[] = [];
    for (const [, line] of lines) {
      const { stdout } = await run(
        process.execPath,
        [join(ROOT, 'dist/cli/main.js'), ...(line as string).split(' ')],
        { cwd: ROOT, env: { ...process.env, BALSA_ENDPOINTS: cluster.endpoints.join() } },
      );
      outputs.push(stdout);
    }
    expect(outputs[1]).toBe('hello');
    expect(outputs).toContain('1\n');
    expect(outputs).toContain('mine\n');
    expect(outputs.at(-1)).toContain('leader');
  });

  test('names every exit code as the command does', async () => {
    const { stdout } = await run(process.execPath, [join(ROOT, 'dist/cli/main.js'), '--help']);
    const table = /^\| exit code \|[\s\S]*?\n\n/m.exec(README)?.[0] ?? '';
    const documented = [...table.matchAll(/^\| (\d+) \|/gm)].map((match) => match[1]);
    const known = [...stdout.slice(stdout.indexOf('Exit codes')).matchAll(/^ {2}(\d+) /gm)];
    expect(documented).toEqual(known.map((match) => match[1]));
  });
});
