import { coordinatorsOverJournal } from './journals.suite.ts';

coordinatorsOverJournal('postgres', (real) => real.start());
