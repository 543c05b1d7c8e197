/**
 * Suites that need a real server. Where the server isn't installed they say so at the end of the run, and with CI=true
 * that is a failure, but for the few that CI can do without; it installs what is missing first (scripts/services.mjs).
 */
import { afterAll, describe, it } from 'vitest';
import { dispensable, type ServerName, servers } from '../scripts/servers/servers.mjs';

declare module 'vitest' {
  interface TaskMeta {
    /** Skipping it is no failure even in CI. */
    isDispensable?: boolean;
  }
}

type Start<Name extends ServerName> = (typeof servers)[Name]['start'];
export type Started<Name extends ServerName> = Awaited<ReturnType<Start<Name>>>;

export interface RealServer<Name extends ServerName> {
  /** A server of one's own; it is stopped after the suite if nobody stopped it before. */
  start(...options: Parameters<Start<Name>>): Promise<Started<Name>>;
  /** The one that all tests of the suite share, with its default options, from its first use on. */
  shared(): Promise<Started<Name>>;
}

/** The suite `title on a real NAME`; `suite` defines its tests in the usual way. */
export function withServer<Name extends ServerName>(name: Name, title: string, suite: (server: RealServer<Name>) => void): void {
  describe(`${title} on a real ${name}`, () => {
    const found = servers[name].where();
    if ('why' in found) {
      it('runs', (context) => {
        context.task.meta.isDispensable = dispensable.has(name);
        context.skip(`none of this suite ran: ${found.why}`);
      });
      return;
    }
    const started: Promise<Started<Name>>[] = [];
    let one: Promise<Started<Name>> | undefined;
    const start = (...options: Parameters<Start<Name>>): Promise<Started<Name>> => {
      const server = (servers[name].start as (...options: unknown[]) => Promise<Started<Name>>)(...options);
      started.push(server);
      return server;
    };
    afterAll(async () => {
      for (const server of await Promise.allSettled(started)) if (server.status === 'fulfilled') await server.value.stop();
    }, 120_000);
    suite({
      start,
      shared: () => {
        one ??= start(...([] as unknown as Parameters<Start<Name>>));
        return one;
      },
    });
  });
}
