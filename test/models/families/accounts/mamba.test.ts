import { againstAccounts } from "./against-accounts.js";

againstAccounts("mamba");
