import type { MemberAddress } from '../rpc/protocol.js';

export interface StartArguments {
  readonly name: string;
  readonly members: readonly MemberAddress[];
  /** Where it dials others, when not at their address. */
  readonly routes: Readonly<Record<string, string>>;
  readonly dataFolder: string;
  readonly cluster?: string | undefined;
  readonly logLevel?: string | undefined;
  readonly extraArgs?: readonly string[] | undefined;
}

/** The command line of a replica. */
export function startArguments(options: StartArguments): string[] {
  const routes = Object.entries(options.routes).map(([name, address]) => ({ name, address }));
  return [
    'start',
    ...['--name', options.name],
    ...['--members', places(options.members)],
    ...(routes.length === 0 ? [] : ['--routes', places(routes)]),
    ...['--data', options.dataFolder],
    ...['--cluster', options.cluster ?? 'local'],
    ...['--log-level', options.logLevel ?? 'info'],
    ...(options.extraArgs ?? []),
  ];
}

/** Settings that the user has for his own replicas and clients are not for these. */
export function ownEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('BALSA_')),
  );
}

function places(members: readonly MemberAddress[]): string {
  return members.map(({ name, address }) => `${name}=${address}`).join(',');
}
