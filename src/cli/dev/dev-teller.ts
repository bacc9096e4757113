import { formatDuration } from '../../base/duration.js';
import type { BalsaError } from '../../base/errors.js';
import type { LocalCluster, UnexpectedExit } from '../../cluster/local-cluster.js';
import type { Change } from '../deploy/changes.js';
import { codeText, uncheckedText } from '../deploy.js';
import type { Output } from '../output.js';
import { clockText } from '../proc/log-tail.js';
import { shortHash } from '../proc/reference.js';
import type { Outcome } from './deployer.js';
import { exampleCall } from './example.js';

/** Says what happens: to people on stderr, and with `-o json` as one object for each event on stdout. */
export class DevTeller {
  readonly #output: Output;
  readonly #file: string;
  readonly #alias: string;
  #endpoints = '';
  /** What was said last of the file; said again only when it is otherwise. */
  #failure: string | null = null;
  #unchecked: string | null = null;
  #isFirst = true;

  constructor(output: Output, { file, alias }: { readonly file: string; readonly alias: string }) {
    this.#output = output;
    this.#file = file;
    this.#alias = alias;
  }

  starting(replicas: number): void {
    this.#dim(`starting ${replicas} replicas …`);
  }

  async ready(cluster: LocalCluster, isKept: boolean): Promise<void> {
    const { folder, endpoints, replicas } = cluster;
    this.#endpoints = endpoints.join();
    if (this.#output.format === 'json') {
      return await this.#output.json({ event: 'ready', endpoints, folder, file: this.#file });
    }
    const fate = isKept ? 'stays there' : 'is removed at the end';
    this.#say(`${replicas.length} replicas are up; their data is in ${folder}, and ${fate}:`);
    for (const { name, address, pid } of replicas) this.#say(`  ${name}  ${address}  pid ${pid}`);
  }

  unchecked(why: string): void {
    if (why !== this.#unchecked) this.#say(uncheckedText(why));
    this.#unchecked = why;
  }

  /** @param others files that it depends on */
  async outcome(outcome: Outcome, tookMs: number, others: readonly string[]): Promise<void> {
    if (outcome.type === 'failed') return await this.#failed(outcome.error);
    const wasWrong = this.#failure !== null;
    this.#failure = null;
    const { type, bundle } = outcome;
    if (type === 'unchanged' && !wasWrong && !this.#isFirst) return;
    const { hash } = bundle;
    const changes = type === 'deployed' ? outcome.changes : [];
    if (this.#output.format === 'json') {
      const what = { file: this.#file, alias: this.#alias, hash, procedures: changes };
      await this.#output.json({ event: type, ...what });
    } else if (type === 'unchanged') {
      this.#timed(`${this.#file} is what is deployed, ${shortHash(hash)}`);
    } else {
      const word = this.#output.styleTalk('green', 'deployed');
      this.#timed(`${word} ${this.#file} in ${formatDuration(tookMs)}: ${changesText(changes)}`);
    }
    if (this.#isFirst && this.#output.format !== 'json') this.#help(outcome.bundle, others);
    this.#isFirst = false;
  }

  replicaEnded({ name, code, signal }: UnexpectedExit, logFile: string): void {
    const how = signal ?? `code ${code}`;
    this.#timed(this.#output.styleTalk('red', `${name} ended by itself (${how}); see ${logFile}`));
  }

  ending(): void {
    this.#dim('stopping the replicas …');
  }

  async #failed(error: BalsaError): Promise<void> {
    const { code, message } = error;
    const text = `${code}: ${message}`;
    if (text === this.#failure) return;
    this.#failure = text;
    if (this.#output.format === 'json') {
      return await this.#output.json({ event: 'failed', file: this.#file, code, message });
    }
    this.#timed(`${this.#output.styleTalk('red', `error ${code}`)}: ${message}`);
    this.#dim(
      error.retryable
        ? 'it is tried again'
        : 'what was deployed before stays, until it is saved again',
    );
  }

  #help(bundle: Parameters<typeof exampleCall>[0], others: readonly string[]): void {
    const at = this.#alias === 'prod' ? '' : `@${this.#alias}`;
    const call = exampleCall(bundle)?.replace(/^[\w$-]+/, (name) => `${name}${at}`);
    const few = others.length <= 3 ? others.join(', ') : `${others.length} files that it needs`;
    this.#say('In another terminal:');
    this.#say(`  export BALSA_ENDPOINTS=${this.#endpoints}`);
    this.#say(`  npx balsa proc ${call === undefined ? 'list' : `call ${call}`}`);
    this.#dim(`watching ${this.#file}${few === '' ? '' : ` and ${few}`}; Ctrl-C ends it`);
  }

  #timed(text: string): void {
    this.#say(`${this.#output.styleTalk('dim', clockText(Date.now()).slice(0, 8))}  ${text}`);
  }

  #dim(text: string): void {
    this.#say(this.#output.styleTalk('dim', text));
  }

  #say(text: string): void {
    this.#output.say(text);
  }
}

/** `new transfer, open; changed balance (c763c1d23e24 → 9f31aa02b7d4)` */
function changesText(changes: readonly Change[]): string {
  const parts: string[] = [];
  for (const kind of ['new', 'changed', 'stays'] as const) {
    const some = changes.filter((change) => change.kind === kind);
    const [first] = some;
    if (first === undefined) continue;
    const codes = new Set(some.map(codeText));
    const code = kind !== 'stays' && codes.size === 1 ? ` (${codeText(first)})` : '';
    const what = kind === 'stays' ? 'not in it any more, and still there:' : kind;
    parts.push(`${what} ${some.map(({ name }) => name).join(', ')}${code}`);
  }
  return parts.join('; ');
}
