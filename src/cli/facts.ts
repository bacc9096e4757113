import type { Output } from './output.js';
import { padEnd, textWidth } from './text-width.js';

export type Fact = readonly [name: string, value: string];

/** Names and values, one pair a line: in columns for people, with a tab between them in a pipe. */
export async function printFacts(output: Output, facts: readonly Fact[]): Promise<void> {
  const width = Math.max(...facts.map(([name]) => textWidth(name)));
  for (const [name, value] of facts) {
    const line =
      output.format === 'table'
        ? `${output.style('bold', padEnd(name, width))}  ${value}`
        : `${name}\t${value}`;
    await output.line(line);
  }
}
