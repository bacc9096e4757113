import type { Output } from './output.js';

/** What a change has done: an object, the revision alone, or for people a word and what follows it. */
export async function printDone(
  output: Output,
  done: {
    readonly json: Record<string, unknown>;
    readonly revision: number;
    /** In green. */
    readonly word: string;
    /** Default: at which revision. */
    readonly rest?: string;
  },
): Promise<void> {
  const { json, revision, word, rest = ` at revision ${revision}` } = done;
  if (output.format === 'json') await output.json(json);
  else if (output.format === 'raw') await output.line(String(revision));
  else await output.line(`${output.style('green', word)}${rest}`);
}
