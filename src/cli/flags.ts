/** Values of flags that several verbs take. */
import { readFileSync } from 'node:fs';
import { InvalidArgumentError, Option } from 'commander';
import { threadsMax } from '../client/options.ts';
import { durationToMs } from '../lib/duration.ts';
import { ShoalError } from '../lib/errors.ts';
import type { Secret } from '../lib/secret.ts';
import { type Role, tokenFor, tokenFromFile } from '../lib/tokens.ts';

export function threadCount(text: string): number {
  const count = Number(text);
  if (/^\d+$/.test(text) && count >= 1 && count <= threadsMax) return count;
  throw new InvalidArgumentError(`It is a whole number from 1 to ${threadsMax}.`);
}

export function duration(text: string): number {
  const ms = durationToMs(/^\d+$/.test(text) ? Number(text) : text);
  if (ms !== undefined) return ms;
  throw new InvalidArgumentError('It is a time like 500ms, 30s, 5m or 1h.');
}

const units: Record<string, number> = { '': 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };

export function byteCount(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(KiB|MiB|GiB)?$/.exec(text);
  const bytes = match ? Number(match[1]) * units[match[2] ?? '']! : 0;
  if (bytes >= 1) return Math.floor(bytes);
  throw new InvalidArgumentError('It is a size like 512MiB or 2GiB.');
}

const heapBytesMin = 16 * 2 ** 20;

/** Below that Node does not even start. */
export function heapSize(text: string): number {
  const bytes = byteCount(text);
  if (bytes >= heapBytesMin) return bytes;
  throw new InvalidArgumentError('It is a size from 16MiB on, like 512MiB or 2GiB; a number alone is bytes.');
}

/** `k=v` once or several times. */
export function labels(text: string, before: Record<string, string> = {}): Record<string, string> {
  const match = /^([\w./-]{1,100})=(.*)$/.exec(text);
  if (!match) throw new InvalidArgumentError('It is name=value.');
  return { ...before, [match[1]!]: match[2]! };
}

/** `gpu:1` once or several times. */
export function resources(text: string, before: Record<string, number> = {}): Record<string, number> {
  const match = /^([\w.-]{1,100}):(\d+(?:\.\d+)?)$/.exec(text);
  if (!match) throw new InvalidArgumentError('It is name:amount, as in gpu:1.');
  return { ...before, [match[1]!]: Number(match[2]) };
}

export function names(text: string): string[] {
  const list = text.split(',').map((name) => name.trim());
  if (list.every((name) => name !== '')) return list;
  throw new InvalidArgumentError('It is a list like a,b,c.');
}

/**
 * What stands behind the file, which belongs to the program. One of `ours` there is more often meant for us, unless it is given
 * before the file as well (`true`): then `warning` says where it belongs, if no `--` right behind the file says that it is meant so.
 */
export function behindFile(
  file: string,
  words: readonly string[],
  ours: Readonly<Record<string, boolean>>,
): { args: readonly string[]; warning?: string } {
  if (words[0] === '--') return { args: words.slice(1) };
  const flag = words.map((word) => word.split('=', 1)[0]!).find((word) => Object.hasOwn(ours, word) && !ours[word]);
  if (flag === undefined) return { args: words };
  return {
    args: words,
    warning: `${flag} stands behind ${file}, so that it goes to the program; for shoal it stands before the file, and ${file} -- ${flag} … says that it is the program's`,
  };
}

export function several(text: string, before: string[] = []): string[] {
  return [...before, text];
}

export interface BrokerFlags {
  cluster: string;
  clusterSecretFile?: string;
}

/** `--cluster` and `--cluster-secret-file`. */
export function brokerOptions(): Option[] {
  return [
    new Option('--cluster <name>', 'tells apart the clusters that share a broker or a journal').default('shoal').env('SHOAL_CLUSTER'),
    new Option(
      '--cluster-secret-file <file>',
      'signs what goes over the broker; the same on all; else SHOAL_CLUSTER_SECRET, the secret itself',
    ).env('SHOAL_CLUSTER_SECRET_FILE'),
  ];
}

export function clusterSecretOf({ clusterSecretFile: file }: BrokerFlags): string | undefined {
  if (file === undefined) return process.env.SHOAL_CLUSTER_SECRET || undefined;
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (cause) {
    throw new ShoalError('SH1307', `the cluster secret in ${file} cannot be read`, { why: (cause as Error).message, cause });
  }
}

export interface ClusterFlags {
  address?: string;
  tokenFile?: string;
}

const defaultAddress = 'http://127.0.0.1:7690';

/** `--address` and `--token-file`. */
export function clusterOptions(): Option[] {
  return [
    new Option('--address <url>', `the coordinator, or several with commas between; default: SHOAL_ADDRESS, then ${defaultAddress}`)
      .argParser((text: string) => clusterAddress(text, '--address '))
      .helpGroup('Cluster:'),
    new Option(
      '--token-file <file>',
      'a file with a token, or the tokens file of a coordinator; else SHOAL_TOKEN, else what a coordinator here left',
    )
      .env('SHOAL_TOKEN_FILE')
      .helpGroup('Cluster:'),
  ];
}

function clusterAddress(text: string, said: string): string {
  const addresses = text.split(',').map((address) => address.trim());
  if (addresses.every((address) => /^https?:\/\/[^/]+\/?$/.test(address)))
    return addresses.map((each) => each.replace(/\/$/, '')).join(',');
  const hint = /^[^/:]+:\d+$/.test(text) ? `${said}http://${text}` : `${said}http://HOST:PORT`;
  throw new ShoalError('SH1311', `${said}${text} is no address of a coordinator`, { hint });
}

export interface Target {
  address: string;
  /** For errors: who said so. */
  from: string;
  token: Secret | undefined;
}

/** Which coordinator, and what to show it: the newest token of the first of these roles that there is. */
export function targetOf({ address, tokenFile }: ClusterFlags, roles: readonly Role[]): Target {
  const { SHOAL_ADDRESS: environment = '' } = process.env;
  // It may also say where programs run that need no cluster.
  const isCluster = environment !== '' && !/^(local|inline):/.test(environment);
  const chosen = address ?? (isCluster ? clusterAddress(environment, 'SHOAL_ADDRESS=') : defaultAddress);
  const from = address !== undefined ? '--address' : isCluster ? 'SHOAL_ADDRESS (environment)' : 'the default';
  return { address: chosen, from, token: tokenFor(chosen, tokenFile === undefined ? undefined : tokenFromFile(tokenFile, roles)) };
}
