-- AlterTable
ALTER TABLE "ConnectionProfile" ADD COLUMN     "labels" TEXT NOT NULL DEFAULT '{}';

-- AlterTable
ALTER TABLE "ConnectionTable" ADD COLUMN     "labels" TEXT NOT NULL DEFAULT '{}';

-- AlterTable
ALTER TABLE "Pipeline" ADD COLUMN     "labels" TEXT NOT NULL DEFAULT '{}';

-- AlterTable
ALTER TABLE "Job" ADD COLUMN     "editRequests" INTEGER NOT NULL DEFAULT 0,
ADD COLUMN     "editsDone" INTEGER NOT NULL DEFAULT 0;
