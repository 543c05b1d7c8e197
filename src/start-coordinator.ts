/**
 * A coordinator as a server: the loop around the core, the `ws:` broker that workers dial, and the port where clients
 * and operators talk to it.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openApi } from './api/server.ts';
import { openServerBroker, serverPlace } from './broker-of.ts';
import { WsBrokerServer } from './brokers/ws/server.ts';
import { Coordinator } from './coordinator/coordinator.ts';
import { noElection } from './elections/none.ts';
import { journalFolder, openJournal } from './journal-of.ts';
import type { Journal } from './journals/journal.ts';
import { ShoalError } from './lib/errors.ts';
import { configHome } from './lib/folders.ts';
import { leaveToken, openTokens } from './lib/tokens.ts';

export interface CoordinatorServerOptions {
  /** `HOST:PORT`; default 127.0.0.1:7690. Port 0 takes a free one. */
  listen?: string;
  /** Default `ws:`, the port itself; or a message system: `redis://HOST:PORT` and the like. */
  broker?: string;
  /** Tells apart the clusters that share a server. Default `shoal`. */
  cluster?: string;
  /** Messages at that broker are signed with it. */
  clusterSecret?: string;
  /** Where jobs live: default `file:.shoal`; `memory:` ends with the process. */
  journal?: string;
  /** Default `none:`: one coordinator a journal. */
  election?: string;
  /** Made at the first start, mode 0600. Default: `tokens` in the journal's folder, else in the user's configuration. */
  tokenFile?: string;
  tls?: { certFile: string; keyFile: string };
  /** Allows another address than loopback without TLS: tokens and data then cross the network in the clear. */
  insecurePlaintext?: boolean;
  /** One line for the log of this process. */
  onLog?: (line: string) => void;
  /** It can't go on (lost its journal or its leadership) and has stopped. */
  onFailed?: (error: unknown) => void;
}

export interface CoordinatorServer {
  /** As clients and workers are given it. */
  readonly address: string;
  readonly tokenFile: string;
  readonly durability: Journal['durability'];
  /** Finishes the commit under way, tells clients and workers, and ends; jobs stay in the journal. Idempotent. */
  stop(): Promise<void>;
}

/** Resolves when it leads and listens. */
export async function startCoordinator(options: CoordinatorServerOptions = {}): Promise<CoordinatorServer> {
  const listen = listenAddress(options.listen ?? '127.0.0.1:7690');
  const journalUrl = options.journal ?? 'file:.shoal';
  const place = serverPlace(options.broker ?? 'ws:', options.cluster, options.clusterSecret);
  only('election', options.election, 'none:');
  const tls = options.tls && readTls(options.tls);
  const onWarning = (line: string): void => options.onLog?.(line);
  const tokenFile = options.tokenFile ?? join(journalFolder(journalUrl) ?? configHome(), 'tokens');
  const lines = new WsBrokerServer({ onWarning });
  const broker = place ? await openServerBroker(place, { onWarning }) : lines;
  const journal = await openJournal(journalUrl).catch(async (error: unknown) => {
    await broker.close();
    throw error;
  });
  const coordinator = new Coordinator({
    broker,
    journal,
    election: noElection(),
    isOneMachine: false,
    onWarning,
    ...(options.onFailed ? { onFailed: options.onFailed } : {}),
  });
  lines.onGone((addresses) => coordinator.connectionsClosed(addresses));
  const closing: (() => Promise<void>)[] = [() => broker.close(), () => journal.close()];
  const close = async (): Promise<void> => {
    for (const step of closing) await step();
  };
  try {
    const tokens = openTokens(tokenFile);
    await coordinator.start();
    closing.unshift(() => coordinator.stop());
    const api = await openApi({
      listen,
      tokens,
      ...(tls ? { tls } : {}),
      insecurePlaintext: options.insecurePlaintext === true,
      session: () => coordinator.session(),
      room: () => coordinator.room(),
      ...(!place && { acceptWorker: (socket, who) => lines.accept(socket, who) }),
      isReady: () => (coordinator.isServing ? { ready: true } : { ready: false, why: 'it does not lead, or its journal is full' }),
      onWarning,
    });
    closing.unshift(() => api.close());
    const takeBack = leaveToken(api.address, tokens);
    closing.push(async () => takeBack());
    let stopping: Promise<void> | undefined;
    return { address: api.address, tokenFile, durability: journal.durability, stop: () => (stopping ??= close()) };
  } catch (error) {
    await close().catch(() => undefined);
    throw error;
  }
}

function listenAddress(text: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (!match || port > 65_535) {
    throw new ShoalError('SH1320', `"${text}" is no address to listen on`, { hint: 'HOST:PORT, as in 127.0.0.1:7690 or [::1]:7690' });
  }
  return { host: match[1] ?? match[2]!, port };
}

function only(what: string, given: string | undefined, known: string): void {
  if (given === undefined || given === known) return;
  throw new ShoalError('SH1321', `"${given}" is no ${what} that shoal knows`, { hint: `use ${known}` });
}

function readTls({ certFile, keyFile }: { certFile: string; keyFile: string }): { cert: string; key: string } {
  const read = (file: string, what: string): string => {
    try {
      return readFileSync(file, 'utf8');
    } catch (cause) {
      throw new ShoalError('SH1322', `the ${what} ${file} cannot be read`, { why: (cause as Error).message, cause });
    }
  };
  return { cert: read(certFile, 'TLS certificate'), key: read(keyFile, 'TLS key') };
}
