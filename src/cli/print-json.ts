import { jsonText } from './json-print.js';
import type { Output } from './output.js';
import { printable } from './printable.js';

/** A result that is JSON: over several lines for people, on one in a pipe. */
export async function printJson(output: Output, value: unknown): Promise<void> {
  const text = jsonText(value, output.format === 'table' ? 2 : 0);
  await output.line(printable(Buffer.from(text), 'lines'));
}
