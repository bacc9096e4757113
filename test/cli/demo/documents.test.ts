import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, parse } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { findNodeModules, readRecords } from '../../../src/cli/demo/documents.js';

let folder = '';

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'demo-documents-'));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

function write(path: string, content: unknown): void {
  const file = join(folder, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
}

describe('the documents of the demo', () => {
  test('are those of plain, scoped and nested packages, whole and by field', () => {
    write('node_modules/a/package.json', { name: 'a', version: '1.0.0', license: 'MIT' });
    write('node_modules/@s/b/package.json', { name: '@s/b', version: '2.0.0' });
    write('node_modules/a/node_modules/c/package.json', { name: 'c', version: '3.0.0' });

    const records = readRecords(join(folder, 'node_modules'));

    expect(records.map((record) => record.key)).toEqual([
      'package/@s/b@2.0.0',
      'package/@s/b@2.0.0/name',
      'package/@s/b@2.0.0/version',
      'package/a@1.0.0',
      'package/a@1.0.0/name',
      'package/a@1.0.0/version',
      'package/a@1.0.0/license',
      'package/c@3.0.0',
      'package/c@3.0.0/name',
      'package/c@3.0.0/version',
    ]);
    expect(records.at(6)?.content).toBe('MIT');
    expect(records.at(3)?.content).toEqual({ name: 'a', version: '1.0.0', license: 'MIT' });
  });

  test('are taken once when the same version is installed twice, or linked in a circle', () => {
    write('node_modules/a/package.json', { name: 'a', version: '1.0.0' });
    write('node_modules/b/package.json', { name: 'b', version: '1.0.0' });
    write('node_modules/b/node_modules/a/package.json', { name: 'a', version: '1.0.0' });
    mkdirSync(join(folder, 'node_modules/c'));
    symlinkSync(join(folder, 'node_modules'), join(folder, 'node_modules/c/node_modules'));

    const keys = readRecords(join(folder, 'node_modules')).map((record) => record.key);

    expect(new Set(keys).size).toBe(keys.length);
    expect(keys).toHaveLength(6);
  });

  test('leave out files that are no package document', () => {
    write('node_modules/broken/package.json', '{');
    write('node_modules/nameless/package.json', { private: true });
    write('node_modules/.bin/package.json', { name: 'x', version: '1.0.0' });
    write('node_modules/huge/package.json', {
      name: 'h',
      version: '1.0.0',
      text: 'x'.repeat(300_000),
    });

    expect(readRecords(join(folder, 'node_modules'))).toEqual([]);
  });

  test('are looked for upwards, and an empty node_modules is passed over', () => {
    write('node_modules/a/package.json', { name: 'a', version: '1.0.0' });
    mkdirSync(join(folder, 'x/y/node_modules'), { recursive: true });

    expect(findNodeModules([join(folder, 'x/y')])).toBe(join(folder, 'node_modules'));
  });

  test('cannot be found where nothing is installed: the error says what to do', () => {
    expect(() => findNodeModules([parse(folder).root])).toThrow(/npm install/);
  });

  test('of this project make some thousands of keys', () => {
    const records = readRecords(findNodeModules([import.meta.dirname]));

    expect(records.length).toBeGreaterThan(500);
  });
});
