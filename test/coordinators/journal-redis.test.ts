import { coordinatorsOverJournal } from './journals.suite.ts';

coordinatorsOverJournal('redis', (real) => real.start({ appendonly: true, appendfsync: 'always' }));
