import { withServer } from '../../test/real-servers.ts';
import { journalSuite } from './journal.suite.ts';
import { openEngineJournal } from './on-engine.ts';
import { openPostgresEngine } from './postgres.ts';

let schemas = 0;

withServer('postgres', 'The PostgreSQL journal', ({ shared }) => {
  journalSuite('postgres', async () => {
    const { url } = await shared();
    const schema = `s${++schemas}`;
    return {
      open: () => openEngineJournal(openPostgresEngine, { url: new URL(`${url}?schema=${schema}`) }),
      persistent: true,
      stop: async () => {},
    };
  });
});
