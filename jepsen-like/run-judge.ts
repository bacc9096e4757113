import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { CHECKERS } from './checkers/all-checkers.js';
import type { Verdict } from './checkers/checker.js';
import { fileHistory, readFaults } from './history/file-history.js';
import { HistoryError } from './history/history-error.js';
import type { FaultRecord } from './history/operation.js';
import { renderTimeline } from './picture/timeline.js';

const USAGE = `npm run judge -- history.jsonl --checker NAME [--watch watch.jsonl] [--faults faults.jsonl] [--svg out.svg] [--json]

Says whether a system that keeps its promises could have given this history (docs/checkers.md).
Several checkers: --checker NAME,NAME. Names: ${Object.keys(CHECKERS).join(', ')}.

Exit codes: 0 valid, 1 not valid, 2 the arguments or the files are wrong, 3 unknown (a bound was reached, or there is nothing to judge).
`;

const EXIT = { valid: 0, invalid: 1, usage: 2, unknown: 3 } as const;
const LINES_SHOWN = 40;

class UsageError extends Error {}

interface Request {
  readonly history: string;
  readonly checkers: readonly string[];
  readonly watch: string | undefined;
  readonly faults: readonly FaultRecord[];
  readonly svg: string | undefined;
  readonly isJson: boolean;
}

/** Where it speaks to. */
export interface Voices {
  /** Verdicts. */
  readonly print: (text: string) => void;
  /** Everything else. */
  readonly talk: (text: string) => void;
}

function parse(args: readonly string[]): Request | null {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      checker: { type: 'string' },
      watch: { type: 'string' },
      faults: { type: 'string' },
      svg: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  const [history] = positionals;
  if (history === undefined || positionals.length > 1) {
    throw new UsageError('name one file with a history');
  }
  const checkers = (values.checker ?? 'register').split(',');
  const unknown = checkers.find((name) => CHECKERS[name] === undefined);
  if (unknown !== undefined) {
    throw new UsageError(`no checker "${unknown}"; there are ${Object.keys(CHECKERS).join(', ')}`);
  }
  return {
    history,
    checkers,
    watch: values.watch,
    faults: values.faults === undefined ? [] : readFaults(values.faults),
    svg: values.svg,
    isJson: values.json,
  };
}

async function judge(request: Request, voices: Voices): Promise<number> {
  const history = fileHistory(request.history);
  const watch = request.watch === undefined ? undefined : fileHistory(request.watch);
  let worst: number = EXIT.valid;
  for (const name of request.checkers) {
    const verdict = await CHECKERS[name]?.({ faults: request.faults }).check(history, watch);
    if (verdict === undefined) continue;
    voices.print(request.isJson ? JSON.stringify(verdict) : describe(verdict));
    if (verdict.valid === false) {
      if (request.svg !== undefined && worst !== EXIT.invalid) {
        draw(verdict, request, request.svg);
        voices.talk(`${request.svg}: the operations that show it`);
      }
      worst = EXIT.invalid;
    } else if (verdict.valid === 'unknown' && worst === EXIT.valid) {
      worst = EXIT.unknown;
    }
  }
  return worst;
}

function describe({ checker, valid, operations, text, smallest = [] }: Verdict): string {
  const word = valid === 'unknown' ? 'UNKNOWN' : valid ? 'valid' : 'NOT VALID';
  const lines = smallest.slice(0, LINES_SHOWN).map((line) => `  ${JSON.stringify(line)}`);
  if (smallest.length > LINES_SHOWN) {
    lines.push(`  and ${smallest.length - LINES_SHOWN} lines more (--json has all)`);
  }
  return [`${checker}: ${word} (${operations} operations): ${text}`, ...lines].join('\n');
}

/** Of the first that is not valid. */
function draw({ checker, smallest = [], text }: Verdict, { faults }: Request, path: string): void {
  const title = `${checker}: ${text}`;
  writeFileSync(path, renderTimeline({ title, operations: smallest, faults }));
}

/** @returns the exit code */
export async function runJudge(args: readonly string[], voices: Voices): Promise<number> {
  try {
    const request = parse(args);
    if (request !== null) return await judge(request, voices);
    voices.print(USAGE);
    return EXIT.valid;
  } catch (error) {
    const isArgument = (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS') === true;
    if (!(error instanceof HistoryError || error instanceof UsageError || isArgument)) throw error;
    const hint = error instanceof HistoryError ? '' : `\n\n${USAGE}`;
    voices.talk(`judge: ${(error as Error).message}${hint}`);
    return EXIT.usage;
  }
}
