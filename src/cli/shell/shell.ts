import { createInterface, type Interface } from 'node:readline/promises';
import { Readable } from 'node:stream';
import type { Command } from 'commander';
import { BalsaError } from '../../base/errors.js';
import { Context } from '../context.js';
import { reportError } from '../errors-to-exit.js';
import { EXIT } from '../exit-codes.js';
import type { CliIo } from '../io.js';
import { keyWord } from '../key-argument.js';
import { hasColors } from '../output.js';
import { DEFAULT_ALIAS } from '../proc/reference.js';
import type { ShellHost } from '../shell.js';
import type { StoreClient } from '../store-client.js';
import { splitWords } from '../words.js';
import { OutputApart } from './apart.js';
import { ShellClients } from './clients.js';
import { complete, hintFor } from './completion.js';
import { Hints } from './hints.js';
import { History } from './history.js';
import { Lines } from './lines.js';
import { ShellSession, timingText } from './session.js';
import { TXN_END, TXN_LINES_HELP, takesTxnLines } from './txn-lines.js';

/** What the prompt and completion wait for at most: nobody shall wait for them. */
const ASIDE_MS = 1000;
const KEYS_SHOWN = 100;

/** Commands that want a process of their own. */
const ELSEWHERE = ['shell', 'start', 'demo', 'dev'];

/** Runs lines as commands, one after the other, over connections that stay open. */
export class Shell {
  readonly #context: Context;
  readonly #host: ShellHost;
  readonly #clients: ShellClients;
  readonly #session: ShellSession;
  readonly #stdout: OutputApart;
  #commands: Promise<Command> | null = null;
  /** Ends the command that runs. */
  #running: AbortController | null = null;
  /** What is typed belongs to a transaction. */
  #readsTxn = false;
  #isOver = false;

  constructor(context: Context, host: ShellHost) {
    this.#context = context;
    this.#host = host;
    this.#clients = new ShellClients((options) => context.io.connect(options));
    this.#session = new ShellSession(context.options);
    this.#stdout = new OutputApart(context.io.stdout);
  }

  async close(): Promise<void> {
    await this.#clients.close();
  }

  /** Runs them in order. @returns the exit code of the last one */
  async runLines(given: readonly string[]): Promise<number> {
    const lines = new Lines(given[Symbol.iterator]());
    let exit: number = EXIT.done;
    while (!this.#isOver) {
      const line = await lines.next();
      if (line === null) break;
      exit = await this.#runLine(line, { lines, terminal: null });
    }
    return exit;
  }

  /** Runs one line, with those behind it that belong to it. Its errors are told. @returns its exit code */
  async #runLine(line: string, source: LineSource): Promise<number> {
    const running = new AbortController();
    this.#running = running;
    const { io, output } = this.#context;
    const interrupted = AbortSignal.any([io.interrupted, running.signal]);
    let inner = this.#ioOf(interrupted);
    this.#stdout.next();
    try {
      if (takesTxnLines(line, await this.#program())) {
        const text = await this.#txnLines(source, interrupted);
        inner = { ...inner, stdin: Readable.from([Buffer.from(text)]) };
      }
      const startMs = io.nowMs();
      const args = this.#argumentsOf(line.trim());
      if (args === null) return EXIT.done;
      const exit = await this.#host.run(args, inner);
      if (this.#session.timing) {
        output.say(output.styleTalk('dim', timingText(io.nowMs() - startMs)));
      }
      return exit;
    } catch (error) {
      const { output: form } = this.#session.options;
      return reportError(inner, {
        ...{ error, command: 'shell' },
        flags: form === undefined ? {} : { output: form },
      });
    } finally {
      this.#running = null;
    }
  }

  /** The text of a transaction. @throws BalsaError `CANCELLED` */
  async #txnLines({ lines, terminal }: LineSource, interrupted: AbortSignal): Promise<string> {
    if (terminal !== null) this.#context.output.say(TXN_LINES_HELP);
    const text: string[] = [];
    const away = aborted(interrupted).then(() => {
      throw new BalsaError('CANCELLED', 'interrupted');
    });
    away.catch(() => undefined);
    this.#readsTxn = true;
    try {
      for (;;) {
        await terminal?.ask('txn> ');
        const line = await lines.next(away);
        // Input that ends because of Ctrl-C is not all that there was to come.
        if (interrupted.aborted) throw new BalsaError('CANCELLED', 'interrupted');
        if (line === null || line.trim() === TXN_END) return text.join('\n');
        text.push(line);
      }
    } finally {
      this.#readsTxn = false;
    }
  }

  /** Asks for lines until there are no more. @returns the exit code of the last command; 0 on a terminal */
  async interact(historyPath: string | undefined): Promise<number> {
    const { io, output } = this.#context;
    const isTerminal = io.stdin.isTTY === true;
    const terminal = isTerminal ? await this.#openTerminal(historyPath) : null;
    const rl = terminal?.rl ?? createInterface({ input: io.stdin, terminal: false });
    const lines = new Lines(rl[Symbol.asyncIterator]());
    const close = (): void => rl.close();
    io.interrupted.addEventListener('abort', close, { once: true });
    let exit = 0;
    try {
      if (isTerminal) output.say('.help shows what there is; Ctrl-D ends it');
      while (!this.#isOver && !io.interrupted.aborted) {
        await terminal?.ask(await this.#prompt());
        const line = await lines.next();
        if (line === null) break;
        await terminal?.history.add(line);
        exit = await this.#runLine(line, { lines, terminal });
      }
    } finally {
      io.interrupted.removeEventListener('abort', close);
      terminal?.hints?.close();
      rl.close();
    }
    if (io.interrupted.aborted) throw new BalsaError('CANCELLED', 'interrupted');
    return isTerminal ? EXIT.done : exit;
  }

  #program(): Promise<Command> {
    this.#commands ??= this.#host.program();
    return this.#commands;
  }

  // -------------------------------------------------------------------------------------------
  // Lines

  /** `null`: it is done already. @throws BalsaError `INVALID_ARGUMENT` */
  #argumentsOf(line: string): string[] | null {
    if (line === '' || line.startsWith('#')) return null;
    if (line.startsWith('.')) {
      const instead = this.#session.obey(line, this.#context);
      if (instead === 'exit') this.#isOver = true;
      return instead === null || instead === 'exit' ? null : [...this.#session.flags(), ...instead];
    }
    const { words, problem } = splitWords(line);
    if (problem !== null) throw new BalsaError('INVALID_ARGUMENT', problem);
    const args = words.map((word) => word.text);
    if (args[0] === 'balsa') args.shift();
    const [name = 'help'] = args;
    if (ELSEWHERE.includes(name)) {
      throw new BalsaError(
        'INVALID_ARGUMENT',
        `${name} wants a terminal of its own: balsa ${name}`,
      );
    }
    if (name === 'exit' || name === 'quit') {
      this.#isOver = true;
      return null;
    }
    return [...this.#session.flags(), ...args];
  }

  /** The world of one command. */
  #ioOf(interrupted: AbortSignal): CliIo {
    const { io } = this.#context;
    return {
      ...io,
      env: this.#session.environment(io.env),
      stdout: this.#stdout.stream,
      interrupted,
      connect: this.#clients.connect,
      stdin: noInput(),
      // What is typed is for the shell.
      runChild: (child) => io.runChild({ ...child, input: child.input ?? Buffer.alloc(0) }),
      sleep: (ms) => Promise.race([io.sleep(ms), aborted(interrupted)]),
    };
  }

  // -------------------------------------------------------------------------------------------
  // The terminal

  async #openTerminal(historyPath: string | undefined): Promise<Terminal> {
    const { io, output } = this.#context;
    const program = await this.#program();
    const screen = io.stdout.isTTY === true ? io.stdout : io.stderr;
    const history = new History(historyPath, io.env, (text) => output.say(text));
    const rl = createInterface({
      input: io.stdin,
      output: screen,
      terminal: true,
      history: await history.load(),
      historySize: 1000,
      removeHistoryDuplicates: true,
      completer: (line: string) =>
        complete(line, program, {
          keys: (prefix) => this.#keysAt(prefix),
          procedures: () => this.#procedures(),
        }),
    });
    rl.on('SIGINT', () => this.#interrupt(rl));
    const hints = hasColors(screen, io.env) ? this.#hints(rl, program) : null;
    const ask = async (prompt: string): Promise<void> => {
      rl.setPrompt(prompt);
      // Whoever types ahead finds the cursor where it was.
      rl.prompt(true);
    };
    return { rl, history, hints, ask };
  }

  #hints(rl: Interface, program: Command): Hints {
    const { io } = this.#context;
    return new Hints(rl, { input: io.stdin, output: io.stdout }, (line) =>
      this.#running === null ? hintFor(line, program) : '',
    );
  }

  /** Ends the command that runs; at the prompt it clears the line. */
  #interrupt(rl: Interface): void {
    if (this.#running !== null) {
      this.#running.abort();
      if (!this.#readsTxn) return;
    }
    rl.write(null, { ctrl: true, name: 'e' });
    rl.write(null, { ctrl: true, name: 'u' });
  }

  /** `balsa(leader n2, term 7)> ` */
  async #prompt(): Promise<string> {
    if (this.#context.io.stdin.isTTY !== true) return '';
    const { namespace } = this.#session.options;
    const status = await this.#ask((client) => client.status({ timeoutMs: ASIDE_MS }));
    if (status === null) return 'not connected> ';
    const { cluster, leader, term } = status;
    const where = namespace === undefined ? cluster : `${cluster}/${namespace}`;
    return `${where}(${leader === null ? 'no leader' : `leader ${leader}`}, term ${term})> `;
  }

  /** Keys for completion. */
  async #keysAt(prefix: string): Promise<string[]> {
    const range = { prefix, limit: KEYS_SHOWN, keysOnly: true, timeoutMs: ASIDE_MS } as const;
    const keys = await this.#ask(async (client) => {
      const found: string[] = [];
      for await (const { key } of client.range({ ...range, consistency: 'any' })) {
        found.push(keyWord(key));
      }
      return found;
    });
    return keys ?? [];
  }

  /** As keys: for completion. */
  async #procedures(): Promise<string[]> {
    const all = await this.#ask((client) => client.procedures.list({ timeoutMs: ASIDE_MS }));
    return (all ?? []).map(({ name, alias }) =>
      alias === DEFAULT_ALIAS ? name : `${name}@${alias}`,
    );
  }

  /** What is asked beside the commands: no error is worth a word there, but `null`. */
  async #ask<T>(use: (client: StoreClient) => Promise<T>): Promise<T | null> {
    try {
      return await this.#aside().withClient(use);
    } catch (error) {
      if (error instanceof BalsaError) return null;
      throw error;
    }
  }

  /** For what is asked beside the commands, over their connection. */
  #aside(): Context {
    const io = { ...this.#context.io, connect: this.#clients.connect };
    return new Context(io, this.#session.options);
  }
}

/** Where lines come from; `terminal`: somebody types them. */
interface LineSource {
  readonly lines: Lines;
  readonly terminal: Terminal | null;
}

interface Terminal {
  readonly rl: Interface;
  readonly history: History;
  readonly hints: Hints | null;
  /** Shows the prompt. */
  readonly ask: (prompt: string) => Promise<void>;
}

/** stdin of the commands: the shell reads the real one itself. */
function noInput(): Readable {
  return new Readable({
    read() {
      this.destroy(new Error('the shell reads it itself; name a file instead'));
    },
  });
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
