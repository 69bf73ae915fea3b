import { againstAccounts } from "./against-accounts.js";

// The texts of these tests are longer than 8 positions, the original length, so the account has the long factors too.
againstAccounts("phi", { "Phi-3, long": 128 });
