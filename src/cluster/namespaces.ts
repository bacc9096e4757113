import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { BalsaError } from '../base/errors.js';
import type { LinkShape } from './flow.js';
import type { CutOptions } from './links.js';
import type { Network, Whereabouts } from './network.js';

/** Behind the end of the process that has made them: whatever runs in the namespaces, then these and the bridge. */
const JANITOR =
  'read -r _; for ns in $(ip netns list | cut -d" " -f1 | grep "^$0-"); do ' +
  'ip netns pids "$ns" | xargs -r kill -9 2>/dev/null; ip netns del "$ns"; done; ip link del "$0" 2>/dev/null';

/** Of all addresses here; the second and third number are of one cluster. */
const FIRST_NUMBER = 10;
const HOST_NUMBER = 254;

/**
 * A network of the kernel's: each replica in a namespace of its own, all on one bridge, where packet filters drop what does not
 * pass. For root on Linux with `ip` and `iptables`. Clients are on the bridge, and reach every replica: they are
 * not a place that can be cut off.
 *
 * Nothing of it outlives this process, however it ends.
 */
export class Namespaces implements Network {
  readonly #id: string;
  readonly #net: string;
  readonly #numbers = new Map<string, number>();
  readonly #janitor: ChildProcess;
  /** From, then to: the rule that says what becomes of the packets. */
  readonly #rules = new Map<string, readonly string[]>();

  /** @throws BalsaError `ADDRESS_UNUSABLE` when this machine or user cannot make them */
  static open(): Namespaces {
    return new Namespaces();
  }

  private constructor() {
    const number = process.pid % 60_000;
    this.#id = `balsa${number}`;
    this.#net = `${FIRST_NUMBER}.${200 + (number % 50)}.${Math.floor(number / 50) % 250}`;
    this.#janitor = spawn('/bin/sh', ['-c', JANITOR, this.#id], {
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    this.#janitor.unref();
    (this.#janitor.stdin as Socket | null)?.unref();
    ip('link', 'add', this.#id, 'type', 'bridge');
    ip('addr', 'add', `${this.#net}.${HOST_NUMBER}/24`, 'dev', this.#id);
    ip('link', 'set', this.#id, 'up');
  }

  whereabouts(name: string): Promise<Whereabouts> {
    const space = this.#space(name);
    if (!this.#numbers.has(name)) this.#make(name);
    const host = this.#hostOf(name);
    return Promise.resolve({ host, launcher: ['ip', 'netns', 'exec', space] });
  }

  addReplica(): Promise<void> {
    return Promise.resolve();
  }

  removeReplica(): Promise<void> {
    return Promise.resolve();
  }

  addPlace(): Promise<void> {
    return Promise.resolve();
  }

  routesOf(): Readonly<Record<string, string>> {
    return {};
  }

  through(_place: string, address: string): string {
    return address;
  }

  cut(from: string, to: string, { how = 'cut' }: CutOptions = {}): void {
    const target =
      how === 'reset'
        ? ['-p', 'tcp', '-j', 'REJECT', '--reject-with', 'tcp-reset']
        : ['-j', 'DROP'];
    this.#rule(from, to, target);
  }

  isolate(name: string, options: CutOptions = {}): void {
    for (const other of this.#numbers.keys()) {
      if (other === name) continue;
      this.cut(name, other, options);
      this.cut(other, name, options);
    }
  }

  partition(groups: readonly (readonly string[])[], options: CutOptions = {}): void {
    this.heal();
    for (const group of groups) {
      const others = groups.flat().filter((name) => !group.includes(name));
      for (const from of group) for (const to of others) this.cut(from, to, options);
    }
  }

  /** Of a shape only the loss is there: packets are lost, and the kernel sends them again. */
  shape(from: string, to: string, shape: LinkShape | null): void {
    const lossChance = shape?.lossChance ?? 0;
    if (lossChance === 0) return;
    const match = ['-m', 'statistic', '--mode', 'random', '--probability', String(lossChance)];
    this.#rule(from, to, [...match, '-j', 'DROP']);
  }

  heal(): void {
    const spaces = new Set([...this.#rules.keys()].map((key) => key.split(' ')[1] ?? ''));
    for (const name of spaces) inSpace(this.#space(name), 'iptables', '-F', 'INPUT');
    this.#rules.clear();
  }

  close(): Promise<void> {
    const over = new Promise<void>((resolve) => this.#janitor.once('close', () => resolve()));
    this.#janitor.ref();
    this.#janitor.stdin?.end();
    return over;
  }

  #make(name: string): void {
    const number = this.#numbers.size + 1;
    const space = this.#space(name);
    // At most 15 letters.
    const near = `${this.#id}v${number}`;
    ip('netns', 'add', space);
    ip('link', 'add', near, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', space);
    ip('link', 'set', near, 'master', this.#id, 'up');
    this.#numbers.set(name, number);
    inSpace(space, 'ip', 'addr', 'add', `${this.#hostOf(name)}/24`, 'dev', 'eth0');
    inSpace(space, 'ip', 'link', 'set', 'eth0', 'up');
    inSpace(space, 'ip', 'link', 'set', 'lo', 'up');
  }

  #rule(from: string, to: string, target: readonly string[]): void {
    // Places of clients are not among them.
    if (!this.#numbers.has(from) || !this.#numbers.has(to)) return;
    this.#rules.set(`${from} ${to}`, target);
    inSpace(this.#space(to), 'iptables', '-A', 'INPUT', '-s', this.#hostOf(from), ...target);
  }

  #space(name: string): string {
    return `${this.#id}-${name}`;
  }

  #hostOf(name: string): string {
    return `${this.#net}.${this.#numbers.get(name) ?? 0}`;
  }
}

function inSpace(space: string, command: string, ...args: readonly string[]): void {
  ip('netns', 'exec', space, command, ...args);
}

function ip(...args: readonly string[]): void {
  try {
    execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  } catch (cause) {
    const said = (cause as { stderr?: Buffer }).stderr?.toString().trim() ?? '';
    throw new BalsaError('ADDRESS_UNUSABLE', `ip ${args.join(' ')}: ${said}`, { cause });
  }
}
