import { TcpProxy } from '../../test/cluster/proxy.ts';
import { withServer } from '../../test/real-servers.ts';
import { engineSuite } from './engine.suite.ts';
import { journalSuite } from './journal.suite.ts';
import { openMongodbEngine } from './mongodb.ts';
import { openEngineJournal } from './on-engine.ts';

let clusters = 0;

withServer('mongodb', 'The MongoDB journal', ({ shared, start }) => {
  journalSuite('mongodb', async () => {
    const { url } = await shared();
    const cluster = `t${++clusters}`;
    return {
      open: () => openEngineJournal(openMongodbEngine, { url: new URL(url), cluster, deadlineMs: 30_000 }),
      persistent: true,
      // FerretDB looks through all that there is for each of them.
      manyStreams: 100,
      stop: async () => {},
    };
  });

  engineSuite('mongodb', {
    open: openMongodbEngine,
    start,
    lineTo: (port) => TcpProxy.to(port),
    refusesPassword: false,
    // FerretDB looks through all that there is for each range of keys.
    largeMebibytes: { body: 5, head: 1 },
    // More than a page: what 2 500 take here depends on the machine.
    manyEntries: 1_250,
  });
});
